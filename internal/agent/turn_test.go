package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// A full turn reads the firewall's elements without the store's lock, and under the lock puts right what
// differs.
func TestElementsAreReadWithoutTheLock(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		var locked, unlocked int
		open := r.Host.Open
		r.Host.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return readNoticingNamespace{ns, func() {
				if isLocked(t, r.Host.StoreDir) {
					locked++
				} else {
					unlocked++
				}
			}}, err
		}
		r.startIdle()
		want := r.firewall()
		for _, tt := range []struct {
			name  string
			alter func()
		}{
			{"nothing differs", func() {}},
			{"elements are gone", func() { r.kernel.HostNamespace().DeleteElements() }},
			{"an element too many", func() {
				e := kernel.Element{Set: kernel.Internal, Key: kernel.Device("br-old")}
				if err := r.kernel.HostNamespace().Apply(kernel.AddElements{Elements: []kernel.Element{e}}); err != nil {
					t.Error(err)
				}
			}},
			{"nothing differs any more", func() {}},
		} {
			sleep(2 * verifyInterval)
			locked, unlocked = 0, 0
			r.mu.Lock()
			tt.alter()
			r.mu.Unlock()
			r.kernelEvents <- struct{}{}
			sleep(verifyInterval)
			if locked != 0 || unlocked != 1 {
				t.Errorf("%s: elements were read %d times with the lock and %d times without", tt.name, locked, unlocked)
			}
			if got := r.firewall(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the firewall has\n%q\nwant\n%q", tt.name, got, want)
			}
		}
		r.finish()
	})
}

// lockNoticingHandler tells for each repair that is logged whether somebody holds the store's lock.
type lockNoticingHandler struct {
	slog.Handler
	repaired func()
}

func (h lockNoticingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "repaired" {
		h.repaired()
	}
	return h.Handler.Handle(ctx, r)
}

// What a turn had to repair is found out once the store's lock is released: of thousands of elements that
// takes milliseconds.
func TestRepairsAreReportedWithoutTheLock(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		var locked, unlocked int
		r.Agent.Log = slog.New(lockNoticingHandler{r.Agent.Log.Handler(), func() {
			if isLocked(t, r.Host.StoreDir) {
				locked++
			} else {
				unlocked++
			}
		}})
		r.setup(1)
		r.startIdle()
		r.alter(kernel.DeleteFirewall{})
		r.alter(kernel.DeleteLink{Name: "vxlan-blue"})
		if locked > 0 || unlocked != 2 {
			t.Errorf("%d repairs were reported with the lock, and %d without", locked, unlocked)
		}
		r.finish()
	})
}

// After a flushed firewall was set anew, flows are forgotten that meanwhile found no port published.
// The kernel takes long to find them, so containers that start wait for the lock no longer.
func TestFlowsAreForgottenWithoutTheLock(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.names.take(53) // so the firewall publishes another port in its place
		r.setup(1)
		var locked, unlocked int
		open := r.Host.Open
		r.Host.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return flowsNoticingNamespace{ns, func() {
				if isLocked(t, r.Host.StoreDir) {
					locked++
				} else {
					unlocked++
				}
			}}, err
		}
		r.startIdle()
		sleep(2 * verifyInterval)
		want := r.firewall()
		locked, unlocked = 0, 0
		r.mu.Lock()
		r.kernel.HostNamespace().FlushRuleset()
		r.mu.Unlock()
		r.kernelEvents <- struct{}{}
		sleep(verifyInterval)
		if got := r.firewall(); locked > 0 || unlocked != 1 || !reflect.DeepEqual(got, want) {
			t.Errorf("flows were forgotten %d times with the lock and %d times without; the firewall has\n%q", locked, unlocked, got)
		}
		r.finish()
	})
}

// A flushed firewall with very many members is set anew in two steps. The first keeps containers from
// all that they must not reach, and lets no host in. The others hear that this host follows once all
// members are in.
func TestFlushedFirewallIsSetInTwoSteps(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		const many = 4 * hostsAtOnce
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		sleep(time.Second)
		hosts := make([]cluster.Host, 0, many)
		for n := range many {
			hosts = append(hosts, memberHost(n))
		}
		r.cluster().showAs(1, hosts...)
		sleep(2 * verifyInterval)
		want := r.firewall()
		isMember := func(line string) bool { return strings.HasPrefix(line, "inet members4:") }
		isFingerprint := func(line string) bool { return strings.HasPrefix(line, "inet bridges:") }
		for name, alter := range map[string]func(){
			"flushed":               r.kernel.HostNamespace().FlushRuleset,
			"without most elements": func() { r.kernel.HostNamespace().DeleteElements() },
		} {
			r.mu.Lock()
			alter()
			r.mu.Unlock()
			r.cluster().showAs(2, hosts...)
			var steps [][]string
			open := r.Host.Open
			r.Host.Open = func(path string) (hoststate.Namespace, error) {
				if now := r.firewall(); len(now) > 0 && (len(steps) == 0 || !slices.Equal(steps[len(steps)-1], now)) {
					steps = append(steps, now)
				}
				return open(path)
			}
			r.kernelEvents <- struct{}{}
			sleep(verifyInterval)
			r.Host.Open = open
			if len(steps) != 2 || !slices.Equal(steps[1], want) {
				t.Fatalf("%s: %d steps", name, len(steps))
			}
			rest := func(lines []string) []string {
				return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return isMember(l) || isFingerprint(l) })
			}
			if slices.ContainsFunc(steps[0], isMember) || !slices.Equal(rest(steps[0]), rest(want)) {
				t.Errorf("%s: at first the firewall has\n%q", name, steps[0])
			}
			if slices.Equal(slices.DeleteFunc(slices.Clone(steps[0]), isMember), slices.DeleteFunc(slices.Clone(want), isMember)) {
				t.Errorf("%s: the fingerprint says at first that all is there", name)
			}
		}
	})
}

// flowsNoticingNamespace tells when flows are forgotten.
type flowsNoticingNamespace struct {
	hoststate.Namespace
	forget func()
}

func (n flowsNoticingNamespace) Apply(c kernel.Change) error {
	if _, ok := c.(kernel.DeleteFlows); ok {
		n.forget()
	}
	return n.Namespace.Apply(c)
}

// readNoticingNamespace tells when the firewall's elements are read.
type readNoticingNamespace struct {
	hoststate.Namespace
	read func()
}

func (n readNoticingNamespace) FirewallElements() ([]kernel.Element, error) {
	n.read()
	return n.Namespace.FirewallElements()
}

// isLocked tells whether somebody holds the lock of a store.
func isLocked(t testing.TB, storeDir string) bool {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(storeDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}
