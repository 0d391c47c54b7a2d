package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

func wireGuardTo(host string, last byte, handshake time.Duration, straight bool) agentapi.WireGuardPeer {
	addr := netip.AddrFrom4([4]byte{198, 18, 0, last})
	return agentapi.WireGuardPeer{
		Host: host + " (" + addr.String() + ")", VTEP: addr, Port: 51820, Reachable: true, Endpoint: netip.AddrPortFrom(addr,
			51820),
		Handshake: handshake > 0, HandshakeAge: handshake, Received: 1234567, Sent: 592, Straight: straight,
	}
}

// rotatingEncryption is a network whose keys rotate, and wait for a host.
func rotatingEncryption() *agentapi.EncryptionStatus {
	return &agentapi.EncryptionStatus{
		Sends: 1, Waiting: []string{"c (198.18.0.3)"}, Disputed: []string{"d (198.18.0.4)"},
		Keyless: []string{"e (198.18.0.5)"},
		Devices: []agentapi.WireGuardStatus{
			{Device: "wg0-blue", Generation: 1, KeyAge: 50 * time.Hour, Implementation: "wireguard-go", Running: true,
				Port: 51820,
				MTU:  1440, PublicKey: "cHVibGlj", Peers: []agentapi.WireGuardPeer{wireGuardTo("b", 2, 20*time.Second, true),
					wireGuardTo("c", 3, 0, false)}},
			{Device: "wg1-blue", Generation: 2, KeyAge: time.Second, Implementation: "wireguard-go", Running: true, Port: 51821,
				MTU: 1440, PublicKey: "b3RoZXI=", Peers: []agentapi.WireGuardPeer{wireGuardTo("b", 2, time.Second, true)}},
		},
	}
}

func (h fakeHost) RotateEncryption(string) (agentapi.RotationReport, error) {
	return agentapi.RotationReport{}, h.err
}

func (h *hostileHost) RotateEncryption(string) (agentapi.RotationReport, error) {
	return spoil(agentapi.RotationReport{Refused: []string{"no"}}), nil
}

// encryptedHost answers by a report after the other.
type encryptedHost struct {
	fakeHost
	reports []*agentapi.EncryptionStatus // the last one stays
	asked   *[]string                    // to rotate
	refused []string
}

func (h *encryptedHost) Status() (agentapi.StatusReport, error) {
	if h.err != nil {
		return agentapi.StatusReport{}, h.err
	}
	r := agentapi.StatusReport{
		Networks: []agentapi.NetworkStatus{{Name: "red"}, {Name: "blue", Encryption: h.reports[0]}},
		Drops: []agentapi.DropStatus{{Reason: "plaintext_in", Packets: 3}, {Reason: "plaintext_in", Packets: 4},
			{Reason: "isolation", Packets: 9}},
	}
	if len(h.reports) > 1 {
		h.reports = h.reports[1:]
	}
	return r, nil
}

func (h *encryptedHost) StatusWithRates() (agentapi.StatusReport, error) { return h.Status() }

func (h *encryptedHost) RotateEncryption(name string) (agentapi.RotationReport, error) {
	*h.asked = append(*h.asked, name)
	return agentapi.RotationReport{Refused: h.refused}, nil
}

func newEncryptedHost(reports ...*agentapi.EncryptionStatus) *encryptedHost {
	return &encryptedHost{reports: reports, asked: new([]string)}
}

func TestEncryptionStatus(t *testing.T) {
	out, err := run(newEncryptedHost(rotatingEncryption()), "encryption", "status")
	want := []string{
		"NETWORK DEVICE BY UDP PORT MTU KEY AGE STATE PUBLIC KEY",
		"blue wg0-blue wireguard-go 51820 1440 1 2d sends cHVibGlj",
		"blue wg1-blue wireguard-go 51821 1440 2 1s receives b3RoZXI=",
		"",
		"NETWORK HOST DEVICE HANDSHAKE IN OUT IP PACKETS ENDPOINT",
		"blue b (198.18.0.2) wg0-blue 20s 1.2 MB 592 B straight 198.18.0.2:51820",
		"blue c (198.18.0.3) wg0-blue never 1.2 MB 592 B in VXLAN 198.18.0.3:51820",
		"blue b (198.18.0.2) wg1-blue 1s 1.2 MB 592 B straight 198.18.0.2:51820",
		"blue: the new keys wait for c (198.18.0.3)",
		"",
		"refused: plaintext that came 7, plaintext that was to leave 0, not VXLAN from WireGuard 0 packets",
	}
	var got []string
	for line := range strings.Lines(out) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if err != nil || len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%v, printed\n%s", err, out)
	}
	for _, line := range []string{
		"# VX1001 failure: network blue: no WireGuard packet passes to or from host c (198.18.0.3)",
		"# VX1007 failure: network blue: host e (198.18.0.5) is on the network, and has no key for it",
		"# VX1009 warning: network blue: host d (198.18.0.4) announces a key that is another host's",
	} {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("printed no line %q", line)
		}
	}
}

func TestEncryptionStatusIsFiltered(t *testing.T) {
	tests := []struct{ args, want string }{
		{"-q", "blue\n"},
		{"blue -q", "blue\n"},
		{"-q --filter state=down", ""},
		{"--filter handshake=never --format {{range_.Peers}}{{.Host}}{{end}}", "c (198.18.0.3)\n"},
		{"--filter code=VX1007 --format {{range_.Findings}}{{.Code}}{{end}}", "VX1007\n"},
		{"--format {{range_.Devices}}{{.Network}}_{{.Port}}_{{end}}", "blue 51820 blue 51821 \n"},
		{"--format {{.Refused.PlaintextIn}}", "7\n"},
	}
	for _, tt := range tests {
		args := strings.Fields("encryption status " + tt.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		if out, err := runForScript(newEncryptedHost(rotatingEncryption()), args...); err != nil || out != tt.want {
			t.Errorf("%s: %v, printed %q", tt.args, err, out)
		}
	}
	for _, name := range []string{"red", "nothing"} {
		if _, err := run(newEncryptedHost(rotatingEncryption()), "encryption", "status", name); err == nil ||
			!strings.Contains(err.Error(), "is not encrypted; ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	out, err := run(newEncryptedHost(nil), "encryption", "status")
	if err != nil || !strings.HasPrefix(out, "no encrypted network has a container on this host") {
		t.Errorf("%v, %s", err, out)
	}
}

// In tables of networks a word says that one is encrypted, and a mark that something is wrong. Without an encrypted
// network there is no such column.
func TestEncryptionInLists(t *testing.T) {
	healthy := settledEncryption(1)
	for _, tt := range []struct {
		status *agentapi.EncryptionStatus
		want   string
	}{{healthy, "wireguard"}, {rotatingEncryption(), "wireguard!"}, {&agentapi.EncryptionStatus{Problem: "no"},
		"wireguard!"}} {
		out, err := run(newEncryptedHost(tt.status), "status", "--filter", "encryption=wireguard*")
		lines := strings.Split(out, "\n")
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "blue ") })
		if err != nil || at < 0 || !slices.Contains(strings.Fields(lines[at]), tt.want) || strings.Contains(out, "\nred ") {
			t.Errorf("%v, printed\n%s", err, out)
		}
	}
	for _, args := range [][]string{{"status"}, {"network", "ls"}} {
		if out, err := run(fakeHost{}, args...); strings.Contains(out, "ENCRYPTION") {
			t.Errorf("%s: %v, printed\n%s", args, err, out)
		}
	}
}

// settledEncryption is a network with keys of one generation.
func settledEncryption(generation uint64) *agentapi.EncryptionStatus {
	return &agentapi.EncryptionStatus{Sends: generation, Devices: []agentapi.WireGuardStatus{{Device: "wg0-blue",
		Generation:     generation,
		Implementation: "kernel", Running: true, Port: 51820, Peers: []agentapi.WireGuardPeer{wireGuardTo("b", 2, time.Second,
			true)}}}}
}

func TestEncryptionRotate(t *testing.T) {
	before := rotationPoll
	rotationPoll = time.Millisecond
	t.Cleanup(func() { rotationPoll = before })
	one, both, two := settledEncryption(1), rotatingEncryption(), settledEncryption(2)
	const done = "network blue has new keys and no others (2)\n"
	tests := []struct {
		name    string
		args    string
		reports []*agentapi.EncryptionStatus
		refused []string
		asked   bool
		want    string
		fail    string
	}{
		{"all", "", []*agentapi.EncryptionStatus{one, one, both, both, two}, nil, true,
			"the keys of network blue rotate\nnetwork blue waits for c (198.18.0.3)\n" + done, ""},
		{"one that rotates already", "blue", []*agentapi.EncryptionStatus{both, both, two}, nil, false,
			"the keys of network blue rotate already\nnetwork blue waits for c (198.18.0.3)\n" + done, ""},
		{"detached", "blue -d", []*agentapi.EncryptionStatus{one}, nil, true, "the keys of network blue rotate\n", ""},
		{"another host was quicker", "blue", []*agentapi.EncryptionStatus{one, both, two}, []string{"they rotate"}, true,
			"the keys of network blue rotate\n" + done, ""},
		{"refused", "blue", []*agentapi.EncryptionStatus{one}, []string{"the keys cannot be kept"}, true, "",
			"rotate keys: the keys cannot be kept"},
		{"not encrypted", "red", []*agentapi.EncryptionStatus{one}, nil, false, "",
			"rotate keys: network red has no container on this host, or is not encrypted; `vxlanctl network ls` says which"},
		{"none", "", []*agentapi.EncryptionStatus{nil}, nil, false, "",
			"rotate keys: no encrypted network has a container on this host"},
		{"for scripts", "-q", []*agentapi.EncryptionStatus{one, two}, nil, true, "the keys of network blue rotate\nblue\n",
			""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newEncryptedHost(tt.reports...)
			h.refused = tt.refused
			out, err := run(h, append([]string{"encryption", "rotate"}, strings.Fields(tt.args)...)...)
			if tt.fail != "" && (err == nil || err.Error() != tt.fail) || tt.fail == "" && err != nil || out != tt.want {
				t.Errorf("%v, printed\n%s", err, out)
			}
			if asked := len(*h.asked) == 1; asked != tt.asked {
				t.Errorf("asked for %q", *h.asked)
			}
		})
	}
	// What an interrupted one has begun goes on, and is said to.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := rotation{host: newEncryptedHost(both), progress: new(strings.Builder), before: make(map[string]uint64)}
	if err := r.run(ctx, "", false); err == nil || !strings.Contains(err.Error(), "the agents go on by themselves") {
		t.Errorf("interrupted: %v", err)
	}
}

func TestRotationForScripts(t *testing.T) {
	out, err := runForScript(newEncryptedHost(settledEncryption(1), settledEncryption(2)), "encryption", "rotate",
		"--format", "json")
	var got struct {
		Schema   int
		Networks []struct {
			Network    string
			Generation uint64
		}
	}
	if err := errors.Join(err, json.Unmarshal([]byte(out), &got)); err != nil || got.Schema != 1 ||
		len(got.Networks) != 1 ||
		got.Networks[0].Network != "blue" || got.Networks[0].Generation != 2 {
		t.Errorf("%v, printed %s", err, out)
	}
}
