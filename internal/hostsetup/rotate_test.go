package hostsetup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/clusterkey"
)

// keyCluster is hosts with key files, of which the first one is this host. After each change it
// checks that all understand each other.
type keyCluster struct {
	t       *testing.T
	mu      sync.Mutex
	names   []string
	keys    map[string][]clusterkey.Key
	down    map[string]bool
	fixed   map[string]bool
	failing map[string]bool // changes of the file fail
	retired map[string]bool
	files   map[string]string
	forgot  []string
	changes int
	// before is called before each change, with its number.
	before func(n int)
}

var oldKey = clusterkey.Key{1}

func newKeyCluster(t *testing.T, hosts int) *keyCluster {
	c := &keyCluster{
		t: t, keys: make(map[string][]clusterkey.Key), down: make(map[string]bool), fixed: make(map[string]bool),
		failing: make(map[string]bool), retired: make(map[string]bool), files: make(map[string]string), before: func(int) {},
	}
	for i := range hosts {
		c.add(fmt.Sprintf("host-%c", 'a'+i), oldKey)
	}
	return c
}

func (c *keyCluster) add(name string, keys ...clusterkey.Key) {
	c.names = append(c.names, name)
	c.keys[name] = keys
}

func (c *keyCluster) ReadFile(path string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if path == KeyPath {
		return []byte(c.fileLocked(c.names[0])), nil
	}
	text, ok := c.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (c *keyCluster) WriteFile(path string, data []byte) error {
	c.files[path] = string(data)
	return nil
}

func (c *keyCluster) Remove(path string) error {
	delete(c.files, path)
	return nil
}

func (c *keyCluster) fileLocked(name string) (file string) {
	for _, k := range c.keys[name] {
		file += k.Line()
	}
	return file
}

func (c *keyCluster) Hosts() (all []agentapi.HostStatus, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.names {
		if slices.Contains(c.forgot, n) {
			continue
		}
		// A host that others do not understand is unreachable for them.
		understood := slices.Contains(c.keys[c.names[0]], c.keys[n][0])
		all = append(all, agentapi.HostStatus{
			ID: "id-" + n, Name: n + " (192.0.2.1)", HostName: n, Self: i == 0, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}),
			Reachable: !c.down[n] && understood,
		})
	}
	return append(all, agentapi.HostStatus{ID: "by-etcd", Reachable: true, CannotBeAsked: true}), nil
}

func (c *keyCluster) AskHost(id string, r agentapi.Request) (agentapi.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := strings.TrimPrefix(id, "id-")
	if r.Verb == agentapi.VerbKeyChange {
		c.changes++
		c.before(c.changes)
	}
	if c.down[name] {
		return agentapi.Response{}, errors.New("does not answer")
	}
	if r.Verb == agentapi.VerbKeyChange {
		if err := c.changeLocked(name, r); err != nil {
			return agentapi.Response{}, err
		}
		c.checkLocked()
	}
	report := agentapi.KeysReport{File: KeyPath, Fixed: c.fixed[name]}
	for _, k := range c.keys[name] {
		report.Keys = append(report.Keys, k.ID())
	}
	data, err := json.Marshal(report)
	return agentapi.Response{Data: data}, err
}

func (c *keyCluster) changeLocked(name string, r agentapi.Request) error {
	var change agentapi.KeyChange
	if err := json.Unmarshal(r.Data, &change); err != nil {
		return err
	}
	if c.failing[name] {
		return errors.New("vxland: change the key: read-only file system")
	}
	keys := c.keys[name]
	i := slices.IndexFunc(keys, func(k clusterkey.Key) bool { return k.ID() == change.ID })
	switch change.Step {
	case agentapi.KeyInstall:
		key, err := clusterkey.ParseLine(change.Key)
		if err != nil || key.ID() != change.ID {
			c.t.Errorf("installs %q as %s", change.Key, change.ID)
		}
		if i < 0 {
			c.keys[name] = append(slices.Clone(keys), key)
		}
	case agentapi.KeyUse:
		if i < 0 {
			return errors.New("vxland: change the key: this host has no such key")
		}
		k := keys[i]
		c.keys[name] = append([]clusterkey.Key{k}, slices.Delete(slices.Clone(keys), i, i+1)...)
	case agentapi.KeyRemove:
		if i != 0 {
			return errors.New("vxland: change the key: does not encrypt yet")
		}
		c.keys[name] = []clusterkey.Key{keys[i]}
	}
	return nil
}

// checkLocked: each host understands each other one, also those that are down, but for the retired.
func (c *keyCluster) checkLocked() {
	for _, from := range c.names {
		for _, to := range c.names {
			if !c.retired[from] && !c.retired[to] && !slices.Contains(c.keys[to], c.keys[from][0]) {
				c.t.Errorf("%s does not understand %s", to, from)
			}
		}
	}
}

func (c *keyCluster) ForgetHost(name string) (host, warning string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.names {
		if netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}).String() == name {
			c.forgot = append(c.forgot, n)
			return n, "", nil
		}
	}
	return "", "", fmt.Errorf("no host is called %q", name)
}

// wantOneNewKey checks that all hosts but the retired have one and the same new key.
func (c *keyCluster) wantOneNewKey() {
	c.t.Helper()
	key := c.keys[c.names[0]][0]
	for _, n := range c.names {
		if !c.retired[n] && !slices.Equal(c.keys[n], []clusterkey.Key{key}) || key == oldKey {
			c.t.Errorf("%s has %s", n, clusterkey.Describe(c.keys[n]))
		}
	}
	if len(c.files) > 0 {
		c.t.Errorf("left %v", c.files)
	}
}

func TestRotate(t *testing.T) {
	c, out := newKeyCluster(t, 3), new(said)
	if _, err := Rotate(c, RotateOptions{}, out.report); err != nil {
		t.Fatal(err)
	}
	c.wantOneNewKey()
	for _, want := range []string{"install the key: 3 of 3 hosts\n", "use the key: 3 of 3 hosts\n", "remove the old key: 3 of 3 hosts\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if strings.Contains(out.String(), strings.TrimSpace(c.keys["host-a"][0].Line())) {
		t.Errorf("the key is printed: %s", out)
	}
}

// A host goes down before any change of any step, and comes back later. All understand each other at
// any time, and the same command finishes.
func TestRotateWithHostDownAtEachChange(t *testing.T) {
	for n := 1; n <= 9; n++ {
		for _, lost := range []string{"host-b", "host-c"} {
			c := newKeyCluster(t, 3)
			c.before = func(at int) { c.down[lost] = c.down[lost] || at == n }
			_, err := Rotate(c, RotateOptions{}, new(said).report)
			switch {
			case err == nil && n < 8: // the last step may have been over
				t.Errorf("%s down at change %d: not noticed", lost, n)
			case err != nil && (!strings.Contains(err.Error(), lost) || !strings.Contains(err.Error(), "`vxlanctl key rotate --without "+lost+"`")):
				t.Errorf("%s down at change %d: %v", lost, n, err)
			}
			c.before, c.down = func(int) {}, make(map[string]bool)
			if err != nil {
				if _, err := Rotate(c, RotateOptions{}, new(said).report); err != nil {
					t.Errorf("%s back after change %d: %v", lost, n, err)
				}
			}
			c.wantOneNewKey()
		}
	}
}

// While a host is down nothing begins.
func TestRotateDoesNotBeginWithHostDown(t *testing.T) {
	c := newKeyCluster(t, 3)
	c.down["host-c"] = true
	_, err := Rotate(c, RotateOptions{}, new(said).report)
	if err == nil || !strings.Contains(err.Error(), "host host-c (192.0.2.1): does not answer") || c.changes > 0 || len(c.files) > 0 {
		t.Errorf("%v, after %d changes", err, c.changes)
	}
}

// A host that is retired gets no new key, whether it is up or down, at the beginning or later.
func TestRotateWithoutHost(t *testing.T) {
	for _, when := range []string{"down", "up", "later"} {
		t.Run(when, func(t *testing.T) {
			c, out := newKeyCluster(t, 3), new(said)
			if when == "later" {
				c.before = func(n int) { c.down["host-c"] = n >= 6 }
				if _, err := Rotate(c, RotateOptions{}, out.report); err == nil {
					t.Fatal("not noticed")
				}
				c.before = func(int) {}
			}
			c.down["host-c"], c.retired["host-c"] = when != "up", true
			had := slices.Clone(c.keys["host-c"])
			if _, err := Rotate(c, RotateOptions{Without: []string{"Host-C"}}, out.report); err != nil {
				t.Fatal(err)
			}
			c.wantOneNewKey()
			if !slices.Equal(c.keys["host-c"], had) || !slices.Equal(c.forgot, []string{"host-c"}) {
				t.Errorf("it has %s, forgotten: %v", clusterkey.Describe(c.keys["host-c"]), c.forgot)
			}
			if when != "later" && slices.Contains(c.keys["host-c"], c.keys["host-a"][0]) {
				t.Error("it can read what the others say")
			}
		})
	}
}

// A host joins during the rotation, and gets both keys.
func TestRotateTakesInWhoJoinsMeanwhile(t *testing.T) {
	for n := 1; n <= 4; n++ {
		c := newKeyCluster(t, 2)
		c.before = func(at int) {
			if at == n {
				c.add("host-new", c.keys["host-a"]...)
			}
		}
		if _, err := Rotate(c, RotateOptions{}, new(said).report); err != nil {
			t.Errorf("at change %d: %v", n, err)
		}
		c.wantOneNewKey()
	}
}

func TestRotateRefusals(t *testing.T) {
	other := clusterkey.Key{7}
	for _, tt := range []struct {
		name    string
		spoil   func(*keyCluster)
		options RotateOptions
		want    string
	}{
		{"a host that keeps its file", func(c *keyCluster) { c.fixed["host-b"] = true }, RotateOptions{}, "rotate_keys = false"},
		{"a rotation from elsewhere", func(c *keyCluster) { c.keys["host-b"] = []clusterkey.Key{oldKey, other} }, RotateOptions{}, "key rotate --to KEY"},
		{"a host that nobody knows", func(*keyCluster) {}, RotateOptions{Without: []string{"host-x"}}, `no host is called "host-x"`},
		{"this host", func(*keyCluster) {}, RotateOptions{Without: []string{"host-a"}}, "cannot be retired from itself"},
		{"a key that is not here", func(*keyCluster) {}, RotateOptions{To: "deadbeef"}, "this host has no key deadbeef"},
		{"a file that cannot be written", func(c *keyCluster) { c.failing["host-b"] = true }, RotateOptions{}, "read-only file system"},
	} {
		c := newKeyCluster(t, 3)
		tt.spoil(c)
		if _, err := Rotate(c, tt.options, new(said).report); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if c.keys["host-a"][0] != oldKey {
			t.Errorf("%s: another key is used", tt.name)
		}
	}
}

// A rotation that was begun on another host, which is gone, is finished by naming the key.
func TestRotateToKeyThatIsThere(t *testing.T) {
	c, key := newKeyCluster(t, 3), clusterkey.Key{7}
	c.keys["host-a"] = []clusterkey.Key{oldKey, key}
	c.keys["host-b"] = []clusterkey.Key{oldKey, key}
	if _, err := Rotate(c, RotateOptions{To: key.ID()}, new(said).report); err != nil {
		t.Fatal(err)
	}
	c.wantOneNewKey()
	if c.keys["host-c"][0] != key {
		t.Error("another key was taken")
	}
}
