package agent

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/enrol"
)

// newKeyAgent is an agent with a key file, whose loop does not run.
func newKeyAgent(t *testing.T) (*Agent, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("# ours\n"+clusterkey.Key{1}.Line()), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Agent{KeyFile: new(fakeKeyFile), TokensDir: filepath.Join(t.TempDir(), "tokens"), Log: slog.New(slog.DiscardHandler)}
	a.Config.KeyFile, a.Config.RotateKeys = path, true
	a.enrolment = a.newEnrolment()
	return a, path
}

func change(t *testing.T, a *Agent, c agentapi.KeyChange) ([]string, string) {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r := a.handleKeyChange(data)
	if r.Error != "" {
		return nil, r.Error
	}
	report, err := agentapi.ReadData[agentapi.KeysReport](r)
	if err != nil {
		t.Fatal(err)
	}
	return report.Keys, ""
}

func TestKeyChange(t *testing.T) {
	a, path := newKeyAgent(t)
	old, fresh := clusterkey.Key{1}, clusterkey.Key{2}
	for _, step := range []struct {
		change agentapi.KeyChange
		want   []string // the IDs of the keys; none: it is refused
		err    string
	}{
		{agentapi.KeyChange{Step: agentapi.KeyUse, ID: fresh.ID()}, nil, "this host has no key " + fresh.ID()},
		{agentapi.KeyChange{Step: agentapi.KeyInstall, ID: fresh.ID(), Key: old.Line()}, nil, "has another ID"},
		{agentapi.KeyChange{Step: agentapi.KeyInstall, ID: fresh.ID(), Key: "AAAA"}, nil, "has 3 bytes"},
		{agentapi.KeyChange{Step: "drop", ID: old.ID()}, nil, "unknown step"},
		{agentapi.KeyChange{Step: agentapi.KeyInstall, ID: fresh.ID(), Key: fresh.Line()}, []string{old.ID(), fresh.ID()}, ""},
		{agentapi.KeyChange{Step: agentapi.KeyInstall, ID: fresh.ID(), Key: fresh.Line()}, []string{old.ID(), fresh.ID()}, ""},
		{agentapi.KeyChange{Step: agentapi.KeyRemove, ID: fresh.ID()}, nil, "does not encrypt yet"},
		{agentapi.KeyChange{Step: agentapi.KeyUse, ID: fresh.ID()}, []string{fresh.ID(), old.ID()}, ""},
		{agentapi.KeyChange{Step: agentapi.KeyRemove, ID: fresh.ID()}, []string{fresh.ID()}, ""},
		{agentapi.KeyChange{Step: agentapi.KeyRemove, ID: fresh.ID()}, []string{fresh.ID()}, ""},
	} {
		before, _ := os.ReadFile(path)
		got, err := change(t, a, step.change)
		if !slices.Equal(got, step.want) || step.err == "" && err != "" || !strings.Contains(err, step.err) {
			t.Errorf("%s %s: %v, %s", step.change.Step, step.change.ID, got, err)
		}
		if after, _ := os.ReadFile(path); step.err != "" && string(after) != string(before) {
			t.Errorf("%s: the file was changed", step.err)
		}
	}
	if file, _ := os.ReadFile(path); string(file) != "# ours\n"+fresh.Line() {
		t.Errorf("the file has %q", file)
	}
	if a.KeyFile.(*fakeKeyFile).checked < 4 {
		t.Error("the keys are not taken into use at once")
	}
}

func TestKeyChangeIsRefused(t *testing.T) {
	a, _ := newKeyAgent(t)
	install := agentapi.KeyChange{Step: agentapi.KeyInstall, ID: clusterkey.Key{2}.ID(), Key: clusterkey.Key{2}.Line()}
	a.Config.RotateKeys = false
	if _, err := change(t, a, install); !strings.Contains(err, "rotate_keys = false") {
		t.Errorf("by the configuration: %q", err)
	}
	a.Config.RotateKeys, a.KeyFile = true, nil
	if _, err := change(t, a, install); !strings.Contains(err, "has no key") {
		t.Errorf("without a key: %q", err)
	}
}

// Somebody has taken the key by a stolen token and said nothing more. The next key is not for him.
func TestKeyChangeEndsUnfinishedJoins(t *testing.T) {
	a, _ := newKeyAgent(t)
	a.Config.Port, a.Config.Cluster = 7947, "vxlan"
	addr := netip.MustParseAddr("127.0.0.1")
	token, err := a.enrolment.store.Create([]netip.Addr{addr}, freePort(t), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a.clusters, a.dns = newClusterSet(a.Config, planeKinds{hosts: a.Plane}, a.Log), new(dnsFeed)
	a.Host = newRig(t).Host
	ctx := t.Context()
	go a.enrolment.Run(ctx)
	if err := a.enrolment.Update(ctx, nil); err != nil {
		t.Fatal(err)
	}
	thief := enrol.Joiner{ID: enrol.NewSecret(), Host: "thief"}
	take := func() error {
		s, err := thief.Enter(ctx, token)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Take()
		return err
	}
	if err := take(); err != nil {
		t.Fatalf("the first time: %v", err)
	}
	if err := take(); err != nil {
		t.Fatalf("again, as after an interruption: %v", err)
	}
	fresh := clusterkey.Key{2}
	if _, err := change(t, a, agentapi.KeyChange{Step: agentapi.KeyInstall, ID: fresh.ID(), Key: fresh.Line()}); err != "" {
		t.Fatal(err)
	}
	if err := take(); err == nil {
		t.Error("the thief gets the new key")
	}
}
