package encryptiontest

import (
	"encoding/json"
	"net"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/lab"
)

// encryptionStatus is what an agent says of the encryption of a network.
type encryptionStatus struct {
	Sends   uint64
	Devices []struct {
		Port      uint16
		PublicKey string `json:"public_key"`
		Peers     []wireGuardPeer
	}
}

type wireGuardPeer struct {
	VTEP     netip.Addr
	Received uint64
	Straight bool
}

// askAgent sends a request to a host's agent, and reads the answer.
func askAgent(t *testing.T, h *lab.Host, verb string, answer any) {
	t.Helper()
	conn, err := net.Dial("unix", h.Path("/run/vxlan/vxland.sock"))
	checkErr(t, err)
	defer conn.Close()
	checkErr(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	checkErr(t, json.NewEncoder(conn).Encode(map[string]string{"verb": verb}))
	var text json.RawMessage
	checkErr(t, json.NewDecoder(conn).Decode(&text))
	var failed struct{ Error string }
	checkErr(t, json.Unmarshal(text, &failed))
	if failed.Error != "" {
		t.Fatalf("%s: the agent of %s says: %s", verb, h.Name(), failed.Error)
	}
	if answer != nil {
		checkErr(t, json.Unmarshal(text, answer))
	}
}

// encryptionOf is what a host's agent says of the encryption of a network.
func encryptionOf(t *testing.T, h *lab.Host, network string) encryptionStatus {
	t.Helper()
	var answer struct {
		Status struct {
			Networks []struct {
				Name       string
				Encryption *encryptionStatus
			}
		}
	}
	askAgent(t, h, "status", &answer)
	for _, n := range answer.Status.Networks {
		if n.Name == network && n.Encryption != nil {
			return *n.Encryption
		}
	}
	t.Fatalf("the agent of %s says nothing of the encryption of %s", h.Name(), network)
	return encryptionStatus{}
}
