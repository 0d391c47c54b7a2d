package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/hostsetup"
)

// memberHost is a host in memory that is a member of a cluster.
type memberHost struct {
	fakeHost
	hostsetup.Host // nil: the rest is not called
	files          map[string]string
	here, others   []adopt.Definition
	created        []string
	keysErr        error
}

func (h *memberHost) ReadFile(path string) ([]byte, error) {
	if text, ok := h.files[path]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (h *memberHost) WriteFile(path string, data []byte) error {
	h.files[path] = string(data)
	return nil
}

func (h *memberHost) Remove(path string) error {
	delete(h.files, path)
	return nil
}

func (*memberHost) OwnAddress([]netip.Addr) (netip.Addr, error) {
	return netip.MustParseAddr("192.0.2.1"), nil
}

func (*memberHost) KeepAgentRunning() error { return nil }
func (*memberHost) CheckRoot() error        { return nil }

func (*memberHost) Addresses() ([]hostsetup.InterfaceAddress, error) {
	return []hostsetup.InterfaceAddress{{Interface: "eth0", Addr: netip.MustParseAddr("192.0.2.1")}}, nil
}

func (*memberHost) CreateToken(ttl time.Duration) (string, error) {
	return "vx1.for." + ttl.String(), nil
}

func (*memberHost) Tokens() ([]enrol.Info, error) {
	return []enrol.Info{
		{ID: "5f0c21aa", Left: 90 * time.Minute},
		{ID: "6a0c21bb", Left: time.Hour, UsedBy: "host-b (192.0.2.2)", UsedAgo: 5 * time.Minute},
		{ID: "7a0c21cc", Left: time.Hour, UsedBy: "host-c (192.0.2.3)", UsedAgo: time.Minute, Pending: true},
		{ID: "8a0c21dd"},
	}, nil
}

func (*memberHost) RevokeToken(id string) (enrol.Info, error) {
	if id == "none" {
		return enrol.Info{}, errors.New("revoke token: there is no token")
	}
	return enrol.Info{ID: id, UsedBy: "host-b (192.0.2.2)"}, nil
}

func (h *memberHost) Networks() (KnownNetworks, error) {
	return KnownNetworks{Here: h.here, Others: h.others, Hosts: 2}, h.err
}

func (*memberHost) NetworkDriver(name string) (string, error) {
	return map[string]string{"local": "bridge"}[name], nil
}

func (h *memberHost) CreateNetwork(args []string, _ io.Writer) error {
	h.created = append(h.created, strings.Join(args, " "))
	return nil
}

func (*memberHost) MTU(netip.Addr) (int, error) { return 1500, nil }

func (*memberHost) OwnAddrs([]netip.Addr) ([]netip.Addr, error) { return nil, nil }

func (*memberHost) Hosts() ([]agentapi.HostStatus, error) {
	return []agentapi.HostStatus{
		{ID: "1", HostName: "host-a", Name: "host-a (192.0.2.1)", Self: true, Reachable: true, Addr: netip.MustParseAddr("192.0.2.1")},
		{ID: "2", HostName: "host-b", Name: "host-b (192.0.2.2)", Addr: netip.MustParseAddr("192.0.2.2")},
	}, nil
}

func (h *memberHost) AskHost(id string, _ agentapi.Request) (agentapi.Response, error) {
	data, err := json.Marshal(agentapi.KeysReport{File: "/etc/vxlan/key", Keys: []string{"1a2b3c4d", "5e6f7a8b"}})
	return agentapi.Response{Data: data}, errors.Join(err, h.keysErr)
}

func (*memberHost) ForgetHost(string) (host, warning string, err error) { return "", "", nil }
func (h *memberHost) Status() (agentapi.StatusReport, error)            { return h.fakeHost.Status() }

func definedByA(name, vni string) adopt.Definition {
	return adopt.Definition{
		Name: name, Host: "host-a", VTEP: netip.MustParseAddr("192.0.2.1"),
		Options: map[string]string{"discovery": "gossip", "vni": vni, "local_ip": "192.0.2.1"},
		Subnets: []adopt.Subnet{{Prefix: "10.0.0.0/24"}},
	}
}

func splitOf(host string) adopt.Definition {
	d := definedByA("split", "301")
	d.Host = host
	return d
}

const adoptedMynet = "podman network create --driver vxlan --opt discovery=gossip --opt vni=100 --opt local_ip=auto --opt remote_ips=192.0.2.1 --opt physical_interface=auto --subnet 10.0.0.0/24 mynet\n"

func TestClusterCommands(t *testing.T) {
	tests := []struct {
		name, args, stdin string
		code              int
		want, fail        string // of the output, which the result must be a part of; of the error
	}{
		{"init prints the command alone", "init", "", 0, "vxlanctl join vx1.for.24h0m0s\n", ""},
		{"init with another time", "init --ttl 1h", "", 0, "vxlanctl join vx1.for.1h0m0s\n", ""},
		{"init with a name", "init --address host-a", "", 2, "", "must be an address of this host"},
		{"init with an address of another host", "init --address 192.0.2.9", "", 1, "", "this host does not have 192.0.2.9; it has 192.0.2.1 (eth0)"},
		{"init on an interface", "init --interface eth0", "", 0, "vxlanctl join vx1.for.24h0m0s\n", ""},
		{"init on an interface and an address", "init --interface eth0 --address 192.0.2.1", "", 2, "", "give --address or --interface, not both"},
		{"init with an argument", "init x", "", 2, "", "is one too many"},
		{"join without a token", "join", "", 2, "", "type the token of a member"},
		{"join by a word", "join hello", "", 2, "", "this is no token"},
		{"join by a token that is cut off", "join vx1.Hw0ECmMAAQ.kq06XPxXkZxe", "", 2, "", "mistyped or cut off"},
		{"join with an empty input", "join -", "", 2, "", "the token is empty"},
		{"join with the command on its input", "join -", "vxlanctl join vx1.x\n", 2, "", "mistyped or cut off"},
		{"tokens", "token ls", "", 0, "5f0c21aa  unused              in 1h30m0s  -\n6a0c21bb  used 5m0s ago       in 1h0m0s   host-b (192.0.2.2)\n7a0c21cc  key given 1m0s ago  in 1h0m0s   host-c (192.0.2.3)\n8a0c21dd  expired             expired     -\n", ""},
		{"tokens as JSON", "token ls --format json", "", 0, `"id": "5f0c21aa"`, ""},
		{"a token", "token create --ttl 10m", "", 0, "vxlanctl join vx1.for.10m0s\n", ""},
		{"revoke", "token revoke 5f0c21aa", "", 0, "token 5f0c21aa is revoked\n", ""},
		{"revoke none", "token revoke none", "", 1, "", "there is no token"},
		{"revoke nothing", "token revoke", "", 2, "", "type the ID of one token"},
		{"a typo", "token rvoke", "", 2, "", "unknown command"},
		{"keys", "key ls", "", 0, "host-a  192.0.2.1  1a2b3c4d  5e6f7a8b  -\nhost-b  192.0.2.2  -         -         does not answer\n", ""},
		{"keys as JSON", "key ls --format json", "", 0, `"keys": []`, ""},
		{"rotate with a host down", "key rotate", "", 1, "", "`vxlanctl key rotate --without host-b`"},
		{"rotate with an argument", "key rotate x", "", 2, "", "is one too many"},
		{"adopt", "network adopt mynet", "", 0, adoptedMynet, ""},
		{"adopt all, and print only", "network adopt --all --dry-run", "", 1, adoptedMynet, "network split"},
		{"adopt with a value of this host", "network adopt -o local_ip=192.0.2.5 --dry-run mynet", "", 0, "local_ip=192.0.2.5", ""},
		{"adopt one that is there", "network adopt here", "", 0, "network here is there already\n", ""},
		{"adopt what nobody has", "network adopt other", "", 1, "", "network other: no other host that answers has " +
			"it; they have: here, mynet, split"},
		{"adopt what hosts have differently", "network adopt split", "", 1, "",
			"VNI 301, port 4789, subnets 10.0.0.0/24 on host-b\npick one: vxlanctl network adopt --vni VNI split"},
		{"adopt nothing", "network adopt", "", 2, "", "type the names of networks"},
		{"adopt all and one", "network adopt --all mynet", "", 2, "", "type the names of networks"},
		{"adopt with half an option", "network adopt -o vni mynet", "", 2, "", "must be NAME=VALUE"},
		{"completion", "__complete network adopt ", "", 0, "mynet\n", ""},
		{"completion of interfaces", "__complete init --interface ", "", 0, "eth0\n", ""},
		{"completion of addresses", "__complete init --address ", "", 0, "192.0.2.1\n", ""},
		{"completion of tokens", "__complete token revoke ", "", 0, "5f0c21aa\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &memberHost{
				files: make(map[string]string), here: []adopt.Definition{definedByA("here", "200")},
				others: []adopt.Definition{definedByA("mynet", "100"), definedByA("here", "200"), definedByA("split", "300"),
					splitOf("host-b")},
			}
			args := strings.Fields(tt.args)
			if strings.HasPrefix(tt.args, "__complete") {
				args = append(args, "")
			}
			var out bytes.Buffer
			c := Command(h, "1", &out)
			c.SetErr(io.Discard)
			c.SetIn(strings.NewReader(tt.stdin))
			c.SetArgs(args)
			err := c.Execute()
			if ExitCode(err) != tt.code || tt.fail != "" && (err == nil || !strings.Contains(err.Error(), tt.fail)) {
				t.Errorf("got %v, code %d", err, ExitCode(err))
			}
			if !strings.Contains(out.String(), tt.want) || strings.HasPrefix(tt.args, "init") && out.String() != tt.want {
				t.Errorf("printed %q", out.String())
			}
			wantCreated := tt.code == 0 && strings.HasPrefix(tt.args, "network adopt") && !strings.Contains(tt.args, "--dry-run") && tt.want == adoptedMynet
			if (len(h.created) > 0) != wantCreated {
				t.Errorf("created %q", h.created)
			}
		})
	}
}

// What join says of networks is read by a script, and what is done meanwhile is apart.
func TestJoinedForScripts(t *testing.T) {
	others := []adopt.Definition{definedByA("mynet", "100"), definedByA("here", "200")}
	for _, tt := range []struct {
		wanted adoption
		opts   output.Options
		want   string
	}{
		{adoption{}, output.Options{Quiet: true}, "mynet\n"},
		{adoption{}, output.Options{Format: "json"}, `{"schema":1,"adopted":[],"missing":["mynet"]}` + "\n"},
		{adoption{all: true}, output.Options{Format: "{{range .Adopted}}{{.Name}} {{.Created}} {{end}}{{len .Missing}}"}, "here false mynet true 0\n"},
		{adoption{names: []string{"here"}}, output.Options{Quiet: true}, ""},
		{adoption{}, output.Options{}, "other hosts have networks that this one lacks; to have them too, type\n  vxlanctl network adopt mynet\n"},
	} {
		var out, notes bytes.Buffer
		cmd := new(cobra.Command)
		cmd.SetOut(&out)
		cmd.SetErr(&notes)
		p := must(tt.opts.Stream(cmd))
		joined, err := offerNetworks(progressOf(cmd, p), &memberHost{here: others[1:], others: others}, tt.wanted)
		if err == nil {
			err = result{object: joined, quiet: joined.Missing}.print(p)
		}
		if err != nil || out.String() != tt.want || p.IsForScripts() != (notes.Len() > 0) {
			t.Errorf("%+v: %v, printed %q and %q", tt.opts, err, out.String(), notes.String())
		}
	}
}

// departingHost is the only member of a cluster, and does what its agent is told.
type departingHost struct {
	*memberHost
	keys []string
}

func (departingHost) GossipContainers() ([]string, error) { return nil, nil }
func (departingHost) LeaveClusters() error                { return nil }
func (departingHost) RefreshAgent() error                 { return nil }

func (h departingHost) Hosts() ([]agentapi.HostStatus, error) {
	return must(h.memberHost.Hosts())[:1], nil
}

func (h *departingHost) AskHost(_ string, r agentapi.Request) (agentapi.Response, error) {
	var change agentapi.KeyChange
	if r.Verb == agentapi.VerbKeyChange {
		if err := json.Unmarshal(r.Data, &change); err != nil {
			return agentapi.Response{}, err
		}
		switch change.Step {
		case agentapi.KeyInstall:
			h.keys = append(h.keys, change.ID)
		case agentapi.KeyUse:
			slices.Reverse(h.keys)
		default:
			h.keys = h.keys[:1]
		}
	}
	data, err := json.Marshal(agentapi.KeysReport{File: hostsetup.KeyPath, Keys: h.keys})
	return agentapi.Response{Data: data}, err
}

// A script gets the new key's ID, and learns that the host has left.
func TestMembershipForScripts(t *testing.T) {
	h := &departingHost{memberHost: &memberHost{files: make(map[string]string)}, keys: []string{"1a2b3c4d"}}
	if _, err := runForScript(h, "init"); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"-q", "--format={{.Key}}"} {
		if out, err := runForScript(h, "key", "rotate", format); err != nil || out != h.keys[0]+"\n" || len(h.keys) != 1 {
			t.Errorf("key rotate %s: %v, printed %q, the keys are %v", format, err, out, h.keys)
		}
	}
	if out, err := runForScript(h, "leave", "--format", "json"); err != nil || out != `{"schema":1,"left":true}`+"\n" {
		t.Errorf("leave: %v, printed %q", err, out)
	}
	if _, err := runForScript(h, "init"); err != nil {
		t.Fatal(err)
	}
	if out, err := runForScript(h, "leave", "-q"); err != nil || out != "" {
		t.Errorf("leave -q: %v, printed %q", err, out)
	}
	out, err := runForScript(h, "network", "adopt", "--all", "--dry-run", "--format", "json")
	if err != nil || out != `{"schema":1,"networks":[]}`+"\n" {
		t.Errorf("adopt: %v, printed %q", err, out)
	}
}
