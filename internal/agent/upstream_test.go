package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// change makes a change of the files below a directory.
func changeFiles(t *testing.T, dir, script string) {
	t.Helper()
	for _, command := range strings.Split(script, "; ") {
		fields := strings.Fields(command)
		var err error
		switch path := filepath.Join(dir, fields[1]); fields[0] {
		case "mkdir":
			err = os.MkdirAll(path, 0o755)
		case "write": // in place, as editors and DHCP clients do
			err = os.WriteFile(path, []byte("nameserver "+fields[2]+"\n"), 0o644)
		case "replace": // as systemd-resolved and NetworkManager do
			if err = os.WriteFile(path+".tmp", []byte("nameserver "+fields[2]+"\n"), 0o644); err == nil {
				err = os.Rename(path+".tmp", path)
			}
		case "link":
			_ = os.Remove(path)
			err = os.Symlink(fields[2], path)
		case "remove":
			err = os.RemoveAll(path)
		default:
			t.Fatalf("command %q", command)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Programs change a resolv.conf in many ways. Each has to count at once, whatever the file was
// before and wherever it is.
func TestChangedResolvConfIsSeenAtOnce(t *testing.T) {
	for what, c := range map[string]struct{ before, change string }{
		"written in place":                       {"write etc/resolv.conf 192.0.2.1", "write etc/resolv.conf 192.0.2.2"},
		"replaced":                               {"write etc/resolv.conf 192.0.2.1", "replace etc/resolv.conf 192.0.2.2"},
		"made, where there was none":             {"remove etc/resolv.conf", "write etc/resolv.conf 192.0.2.2"},
		"a link, whose file is written":          {"mkdir run/resolve; write run/resolve/stub 192.0.2.1; link etc/resolv.conf ../run/resolve/stub", "write run/resolve/stub 192.0.2.2"},
		"a link, whose file is replaced":         {"mkdir run/resolve; write run/resolve/stub 192.0.2.1; link etc/resolv.conf ../run/resolve/stub", "replace run/resolve/stub 192.0.2.2"},
		"a link, whose directory does not exist": {"link etc/resolv.conf ../run/resolve/deep/stub", "mkdir run/resolve/deep; write run/resolve/deep/stub 192.0.2.2"},
		"a link that is led elsewhere":           {"write run/one 192.0.2.1; write run/two 192.0.2.2; link etc/resolv.conf ../run/one", "write run/two 192.0.2.2; link etc/resolv.conf ../run/two"},
		"a link to a link":                       {"mkdir run/a; mkdir run/b; write run/b/file 192.0.2.1; link run/a/link ../b/file; link etc/resolv.conf ../run/a/link", "replace run/b/file 192.0.2.2"},
		"a file that becomes a link":             {"write etc/resolv.conf 192.0.2.1; mkdir run/b", "write run/b/file 192.0.2.2; link etc/resolv.conf ../run/b/file"},
	} {
		t.Run(what, func(t *testing.T) {
			eachWatcher(t, func(t *testing.T, w *pathWatcher) {
				dir := t.TempDir()
				changeFiles(t, dir, "mkdir etc; mkdir run; mkdir networks; "+c.before)
				u := newUpstreamSource(nil, filepath.Join(dir, "etc/resolv.conf"), filepath.Join(dir, "networks"), slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				changes := u.Watch(ctx, w)
				for _, server := range []string{"192.0.2.2", "192.0.2.3"} { // and once more
					changeFiles(t, dir, strings.ReplaceAll(c.change, "192.0.2.2", server))
					waitForServers(t, u, changes, fmt.Sprintf("[%s:53]", server))
				}
			})
		})
	}
}

// waitForServers waits until events have told of the servers.
func waitForServers(t *testing.T, u *upstreamSource, changes <-chan struct{}, want string) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case <-changes:
			if fmt.Sprint(u.HostServers()) == want {
				return
			}
		case <-deadline:
			t.Fatalf("no event; the servers are %v, want %s", u.HostServers(), want)
		}
	}
}

func TestOtherFilesBesideResolvConfAreNoChange(t *testing.T) {
	dir := t.TempDir()
	changeFiles(t, dir, "write resolv.conf 192.0.2.1; mkdir networks")
	u := newUpstreamSource(nil, filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "networks"), slog.New(slog.DiscardHandler))
	changes := u.Watch(t.Context(), newPathWatcher(u.log))
	changeFiles(t, dir, "write passwd x; replace resolv.conf 192.0.2.1")
	select {
	case <-changes:
		t.Error("the servers are the same, and there is an event")
	case <-time.After(4 * upstreamDebounce):
	}
}

func TestUpdatedNetworkIsSeenAtOnce(t *testing.T) {
	eachWatcher(t, func(t *testing.T, w *pathWatcher) {
		dir := t.TempDir()
		u := newUpstreamSource(nil, filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "networks"), slog.New(slog.DiscardHandler))
		changes := u.Watch(t.Context(), w)
		for _, change := range []string{"mkdir networks", "write networks/blue.json x", "write networks/blue.json again", "replace networks/blue.json y"} {
			changeFiles(t, dir, change)
			if err := waitForChange(change, changes); err != nil {
				t.Error(err)
			}
		}
	})
}

// wantUpstreams checks where names outside are asked for.
func (r *rig) wantUpstreams(when, want string) {
	r.t.Helper()
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	for _, z := range r.names.zones {
		if got := fmt.Sprint(z.Upstreams); got != want {
			r.t.Errorf("%s: the name servers are %s, want %s", when, got, want)
		}
	}
}

func TestNewNameServersCountAtOnce(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		r.wantUpstreams("without a resolv.conf", "[]")
		for _, step := range []struct{ path, text, want string }{
			{r.ResolvConf, "nameserver 192.0.2.1\n", "[192.0.2.1:53]"},
			{r.ResolvConf, "nameserver 192.0.2.2\nnameserver 192.0.2.3\n", "[192.0.2.2:53 192.0.2.3:53]"},
			{r.networkFile(), `{"id": "7c7b", "network_dns_servers": ["192.0.2.4"]}`, "[192.0.2.4:53]"},
			{r.networkFile(), `{"id": "7c7b", "network_dns_servers": ["192.0.2.5"]}`, "[192.0.2.5:53]"},
			{r.networkFile(), `{"id": "7c7b", "network_dns_ser`, "[192.0.2.2:53 192.0.2.3:53]"}, // half written
			{r.networkFile(), `{"id": "other", "network_dns_servers": ["192.0.2.5"]}`, "[192.0.2.2:53 192.0.2.3:53]"},
			{r.networkFile(), `{"id": "7c7b"}`, "[192.0.2.2:53 192.0.2.3:53]"},
		} {
			if err := os.WriteFile(step.path, []byte(step.text), 0o644); err != nil {
				t.Fatal(err)
			}
			r.upstreamEvents <- struct{}{}
			sleep(newsDebounce)
			r.wantUpstreams(step.text, step.want)
		}
		r.finish()
	})
}

func (r *rig) networkFile() string { return filepath.Join(r.Host.NetworksDir, "blue.json") }

// A container on internal networks of this driver may have a way out by another driver's network.
func TestServersOfAContainerOnAnotherDriversNetwork(t *testing.T) {
	for what, c := range map[string]struct{ networks, files, want string }{
		"on none":                           {`plain {"id": "aa", "driver": "bridge"}`, "", "[]"},
		"on another":                        {`plain {"id": "aa", "driver": "bridge"}`, "aa_other", "[]"},
		"on a bridge":                       {`plain {"id": "aa", "driver": "bridge"}`, "aa_c1", "[192.0.2.1:53]"},
		"on a bridge with a server":         {`plain {"id": "aa", "driver": "bridge", "network_dns_servers": ["192.0.2.9"]}`, "aa_c1", "[192.0.2.9:53]"},
		"on an internal bridge":             {`plain {"id": "aa", "driver": "bridge", "internal": true}`, "aa_c1", "[]"},
		"on this driver's":                  {`plain {"id": "aa", "driver": "vxlan"}`, "aa_c1", "[]"},
		"on the default network":            {"", "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9_c1", "[192.0.2.1:53]"},
		"on a default network with a file":  {`podman {"id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9", "driver": "bridge", "internal": true}`, "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9_c1", "[]"},
		"on a bridge, beside a broken file": {`odd {"id": `, "aa_c1", "[]"},
	} {
		dir := t.TempDir()
		changeFiles(t, dir, "write resolv.conf 192.0.2.1; mkdir networks; mkdir ports")
		u := newUpstreamSource(nil, filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "networks"), slog.New(slog.DiscardHandler))
		u.netavarkDir = filepath.Join(dir, "ports")
		if name, text, ok := strings.Cut(c.networks, " "); ok {
			if err := os.WriteFile(filepath.Join(dir, "networks", name+".json"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c.files != "" {
			changeFiles(t, dir, "write ports/"+c.files+" x")
		}
		for range 2 {
			if got := fmt.Sprint(u.ServersElsewhere("c1")); got != c.want {
				t.Errorf("%s: got %s, want %s", what, got, c.want)
			}
		}
	}
}

// What is mounted over resolv.conf causes no event.
func TestResolvConfWithoutEventIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		u := newUpstreamSource(nil, filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "networks"), slog.New(slog.DiscardHandler))
		var text atomic.Value
		text.Store("nameserver 192.0.2.1\n")
		u.readFile = func(string) ([]byte, error) { return []byte(text.Load().(string)), nil }
		ctx, cancel := context.WithCancel(t.Context())
		changes := u.Watch(ctx, newPollingWatcher(u.log))
		began := time.Now()
		text.Store("nameserver 192.0.2.2\n")
		<-changes
		if took := time.Since(began); took > upstreamPollInterval || fmt.Sprint(u.HostServers()) != "[192.0.2.2:53]" {
			t.Errorf("seen after %v: %v", took, u.HostServers())
		}
		cancel()
		synctest.Wait()
	})
}
