package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/definition"
	"vxlan-driver/internal/kernel"
)

// fakeDefinitions is an etcd without a network.
type fakeDefinitions struct {
	cluster.Definitions
	retired []string // with whether this host has the network
	closed  int
	err     error
}

func (d *fakeDefinitions) Find(_ context.Context, name string) (cluster.DefinedNetwork, error) {
	if d.err != nil {
		return cluster.DefinedNetwork{}, d.err
	}
	return cluster.DefinedNetwork{Name: name}, cluster.ErrNotDefined
}

func (d *fakeDefinitions) PickVNI(_ context.Context, _ uint16, from cluster.VNIRange,
	isUsed func(uint32) bool) (uint32, error) {
	for isUsed(from.First) {
		from.First++
	}
	return from.First, nil
}

func (d *fakeDefinitions) List(context.Context) ([]cluster.DefinedNetwork, error) {
	return []cluster.DefinedNetwork{{Name: "good", Value: []byte(`{"options": {"discovery": "etcd", "vni": "7"}}`)},
		{Name: "strange", Value: []byte("?")}}, nil
}

func (d *fakeDefinitions) Retire(_ context.Context, name string, isHere bool) ([]cluster.DefinitionUse, error) {
	if name == "none" {
		return nil, cluster.ErrNotDefined
	}
	if isHere {
		name += " here"
	}
	d.retired = append(d.retired, name)
	return nil, nil
}

func (d *fakeDefinitions) Close() error {
	d.closed++
	return nil
}

// The agent answers for etcd, and knows what this host has besides.
func TestRequestsOfDefinitions(t *testing.T) {
	r := newRig(t)
	ask := func(verb agentapi.Verb, network string, data any) agentapi.Response {
		t.Helper()
		raw, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		return r.handleRequest(t.Context(), agentapi.Request{Verb: verb, Network: network, Data: raw})
	}
	r.prepareParts()
	if got := ask(agentapi.VerbDefinitions, "", nil); !strings.Contains(got.Error, "has no section [etcd]") {
		t.Errorf("without etcd: %+v", got)
	}
	store := new(fakeDefinitions)
	r.OpenDefinitions = func() (cluster.Definitions, error) { return store, nil }
	// VNIs of this host's networks and of other programs' devices are taken.
	first := r.Config.Etcd.VNIs.First
	network := strings.NewReplacer(`"vni": "100"`, `"vni": "10000"`).Replace(testNetwork)
	mine := strings.NewReplacer(`"blue"`, `"mine"`, `"remote_ips": "198.18.0.11,198.18.0.12", `, `"discovery": "etcd", `).
		Replace(testNetwork)
	moving := strings.NewReplacer(`"mine"`, `"moving"`, `"discovery": "etcd"`, `"discovery": "gossip", "discovery_also": `+
		`"etcd"`, `"vni": "100"`, `"vni": "101"`).Replace(mine)
	for name, text := range map[string]string{"blue": network, "mine": mine, "moving": moving} {
		if err := os.WriteFile(filepath.Join(r.Host.NetworksDir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.kernel.HostNamespace().Add(kernel.Link{Name: "foreign", Kind: "vxlan",
		Tunnel: kernel.Tunnel{VNI: first + 1, Port: 4789}})
	const given = `{"name": "new", "driver": "vxlan", "options": {"discovery": "etcd"}, "subnets": [{"subnet": ` +
		`"10.7.0.0/24"}]}`
	got := ask(agentapi.VerbDefine, "", agentapi.DefineRequest{Config: json.RawMessage(given)})
	if d, err := definition.Read(got.Data); err != nil || d.VNI() != first+2 || got.Error != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	store.err = errors.New("connection refused")
	got = ask(agentapi.VerbDefine, "", agentapi.DefineRequest{Config: json.RawMessage(given)})
	if got.Error != "network new: look it up in etcd: connection refused" {
		t.Errorf("got %+v", got)
	}
	all, err := agentapi.ReadData[[]definition.Listed](ask(agentapi.VerbDefinitions, "", nil))
	if err != nil || len(all) != 2 || all[0].Definition.VNI() != 7 || all[0].Problem != "" ||
		!strings.Contains(all[1].Problem, "network strange: read its definition") {
		t.Errorf("got %+v, %v", all, err)
	}
	for _, name := range []string{"blue", "mine", "moving", "none"} {
		retired, err := agentapi.ReadData[definition.Retirement](ask(agentapi.VerbRetire, name, nil))
		if err != nil || retired.Defined != (name != "none") {
			t.Errorf("%s: got %+v, %v", name, retired, err)
		}
	}
	if said := strings.Join(store.retired, ","); said != "blue,mine here,moving here" {
		t.Errorf("retired %s", said) // blue is here, and not by etcd
	}
	if store.closed != 7 {
		t.Errorf("%d connections are closed", store.closed)
	}
	for _, verb := range []agentapi.Verb{agentapi.VerbDefine, agentapi.VerbRetire, agentapi.VerbDefinitions} {
		if verb.AllowedFromHosts() {
			t.Errorf("another host may ask %s", verb)
		}
	}
}
