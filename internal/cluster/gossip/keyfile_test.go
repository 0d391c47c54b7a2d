package gossip

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/logtest"
)

func testKeys(numbers ...byte) (keys []clusterkey.Key) {
	for _, n := range numbers {
		keys = append(keys, clusterkey.Key{n})
	}
	return keys
}

func keyLines(keys ...clusterkey.Key) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(hex.EncodeToString(k[:]) + "\n")
	}
	return b.String()
}

// However keys change, the first one wanted encrypts at each moment after it is known, and none
// that only others may not have yet. Who decrypts meanwhile reads memory that nobody writes; run it
// with -race.
func TestReplaceKeys(t *testing.T) {
	for _, tt := range []struct{ from, to []byte }{
		{[]byte{1}, []byte{1, 2}},
		{[]byte{1, 2}, []byte{2, 1}},
		{[]byte{2, 1}, []byte{2}},
		{[]byte{1}, []byte{2}},
		{[]byte{1, 2, 3, 4}, []byte{1, 4}},
		{[]byte{1, 2, 3}, []byte{3}},
		{[]byte{1, 2, 3}, []byte{4, 5}},
	} {
		t.Run(fmt.Sprint(tt.from, tt.to), func(t *testing.T) {
			ring, err := newKeyring(testKeys(tt.from...))
			if err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			var reader sync.WaitGroup
			reader.Go(func() {
				for {
					for _, raw := range ring.GetKeys() {
						if len(raw) != len(clusterkey.Key{}) {
							t.Error("a key is torn")
						}
					}
					if p := ring.GetPrimaryKey()[0]; p != tt.from[0] && p != tt.to[0] {
						t.Errorf("encrypted with key %d", p)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
			err = replaceKeys(ring, testKeys(tt.to...))
			close(stop)
			reader.Wait()
			if got := keysOf(ring); err != nil || !slices.Equal(got, testKeys(tt.to...)) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func keysOf(ring *memberlist.Keyring) (keys []clusterkey.Key) {
	for _, raw := range ring.GetKeys() {
		keys = append(keys, clusterkey.Key(raw))
	}
	return keys
}

// watchedFile is a key file that is followed in virtual time.
type watchedFile struct {
	*KeyFile
	t   *testing.T
	log *logtest.Buffer
}

func followKeyFile(t *testing.T, path string) *watchedFile {
	t.Helper()
	w := &watchedFile{t: t, log: new(logtest.Buffer)}
	w.KeyFile = NewKeyFile(path, slog.New(slog.NewTextHandler(w.log, nil)))
	go w.Follow(t.Context())
	return w
}

func (w *watchedFile) expect(what string, keys ...clusterkey.Key) {
	w.t.Helper()
	time.Sleep(3 * keyPollInterval)
	if got := keysOf(w.ring); !slices.Equal(got, keys) {
		w.t.Errorf("%s: %s in use, want %s", what, clusterkey.Describe(got), clusterkey.Describe(keys))
	}
}

func writeKeys(t *testing.T, path string, keys ...clusterkey.Key) {
	t.Helper()
	if err := os.WriteFile(path, []byte(keyLines(keys...)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A new content takes effect without a restart, in whatever way it comes.
func TestKeyFileIsFollowed(t *testing.T) {
	one, two := clusterkey.Key{1}, clusterkey.Key{2}
	for name, change := range map[string]func(t *testing.T, path string){
		"edited in place": func(t *testing.T, path string) { writeKeys(t, path, two, one) },
		"replaced by renaming": func(t *testing.T, path string) {
			writeKeys(t, path+".new", two, one)
			must(t, os.Rename(path+".new", path))
		},
		"replaced by a link": func(t *testing.T, path string) {
			writeKeys(t, path+".new", two, one)
			must(t, os.Remove(path))
			must(t, os.Symlink(path+".new", path))
		},
		"deleted, and made again later": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			time.Sleep(10 * keyPollInterval)
			writeKeys(t, path, two, one)
		},
		"empty first": func(t *testing.T, path string) {
			writeKeys(t, path)
			time.Sleep(10 * keyPollInterval)
			writeKeys(t, path, two, one)
		},
		"readable for all first": func(t *testing.T, path string) {
			must(t, os.Chmod(path, 0o644))
			writeKeys(t, path, two, one)
			time.Sleep(10 * keyPollInterval)
			must(t, os.Chmod(path, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "key")
				writeKeys(t, path, one)
				w := followKeyFile(t, path)
				w.expect("before", one)
				change(t, path)
				w.expect("after", two, one)
				if _, problem := w.Status(); problem != "" {
					t.Error(problem)
				}
			})
		})
	}
}

// Kubernetes gives secrets by a link to a directory, which it replaces by renaming.
func TestKeyFileBehindSwitchedDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, one, two := t.TempDir(), clusterkey.Key{1}, clusterkey.Key{2}
		for i, keys := range [][]clusterkey.Key{{one}, {two, one}} {
			sub := filepath.Join(dir, fmt.Sprint("..version", i))
			must(t, os.Mkdir(sub, 0o700))
			writeKeys(t, filepath.Join(sub, "key"), keys...)
		}
		must(t, os.Symlink("..version0", filepath.Join(dir, "..data")))
		must(t, os.Symlink("..data/key", filepath.Join(dir, "key")))
		w := followKeyFile(t, filepath.Join(dir, "key"))
		w.expect("before", one)
		must(t, os.Symlink("..version1", filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
		w.expect("after", two, one)
	})
}

// A file that cannot be used leaves the keys as they are. It is logged once, however long it lasts,
// and never with what is in it.
func TestBadKeyFileKeepsKeys(t *testing.T) {
	one := clusterkey.Key{1}
	for want, spoil := range map[string]func(t *testing.T, path string){
		"no such file": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"has no key":   func(t *testing.T, path string) { writeKeys(t, path) },
		"chmod 600":    func(t *testing.T, path string) { must(t, os.Chmod(path, 0o640)) },
		"line 1: must be 32 bytes": func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("secret!"), 0o600))
		},
		"no regular file": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o700))
		},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "key")
				writeKeys(t, path, one)
				w := followKeyFile(t, path)
				w.expect("before", one)
				spoil(t, path)
				time.Sleep(time.Hour)
				w.expect("spoilt", one)
				if keys, problem := w.Status(); !strings.Contains(problem, want) || keys != one.ID()+" encrypts" {
					t.Errorf("status: %q, %q", keys, problem)
				}
				if n := w.log.Count("cannot use the key file"); n != 1 {
					t.Errorf("logged %d times: %s", n, w.log.String())
				}
				if err := w.Check(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("asked: %v", err)
				}
				if w.log.Count("secret!") > 0 {
					t.Error("the log has what is in the file")
				}
				must(t, os.RemoveAll(path))
				writeKeys(t, path, one)
				w.expect("mended", one)
				if _, problem := w.Status(); problem != "" || w.log.Count("can be used again") != 1 {
					t.Errorf("mended: %q\n%s", problem, w.log.String())
				}
			})
		})
	}
}

// A file that cannot be used when the agent starts keeps the plane from running, with or without
// somebody who would talk to it. Once the file can be used, the host finds the others.
func TestBadKeyFileAtTheStart(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		path := filepath.Join(t.TempDir(), "key")
		w := followKeyFile(t, path)
		const want = "this agent talks to no other host until the file can be used"
		if keys, problem := w.Status(); keys != "" || !strings.HasSuffix(problem, want) || w.log.Count(want) != 1 {
			t.Errorf("status %q, %q\n%s", keys, problem, w.log.String())
		}
		other := startHost(t, n, 1)
		other.announce("a")
		p, err := New(Config{
			Host: NewLocalHost(wiretest.ID(2), hostName(2)), Bind: hostAddr(2), Seeds: []netip.AddrPort{hostAddr(1)},
			KeyFile: w.KeyFile, Label: "test", transport: n.transport(hostAddr(2)),
		})
		must(t, err)
		must(t, p.Set(cluster.Local{Memberships: []cluster.Membership{wiretest.Membership(hostAddr(2).Addr(), "b")}}))
		for range 3 {
			if err := p.Run(t.Context()); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Fatalf("ran without a key: %v", err)
			}
			time.Sleep(time.Second)
		}
		if dials, packets := n.sentTo(hostAddr(1)); dials+packets > 0 || p.Health().Synced || len(other.Snapshot().Hosts) > 0 {
			t.Errorf("it talks: %d connections, %d packets", dials, packets)
		}
		writeKeys(t, path, testKey)
		time.Sleep(3 * keyPollInterval)
		if keys, problem := w.Status(); keys != testKey.ID()+" encrypts" || problem != "" {
			t.Errorf("mended: status %q, %q", keys, problem)
		}
		go func() { _ = p.Run(t.Context()) }()
		other.waitUntilSees(5*second, "host-2: b")
	})
}

// A file that is being written is left alone until it is complete: one of two keys that are written
// one after the other is valid, and would lock this host out. Somebody who asks is answered at
// once.
func TestHalfWrittenKeyFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := clusterkey.Key{1}, clusterkey.Key{2}
		path := filepath.Join(t.TempDir(), "key")
		writeKeys(t, path, one)
		w := followKeyFile(t, path)
		w.expect("before", one)
		time.Sleep(keyPollInterval / 2) // each content is looked at once
		for _, text := range []string{"", keyLines(two)[:20], keyLines(two), keyLines(two, one)} {
			must(t, os.WriteFile(path, []byte(text), 0o600))
			time.Sleep(keyPollInterval)
			if got := keysOf(w.ring); !slices.Equal(got, testKeys(1)) {
				t.Errorf("with %d bytes: %s", len(text), clusterkey.Describe(got))
			}
		}
		w.expect("complete", two, one)
		if w.log.Count("cannot use") > 0 {
			t.Error(w.log.String())
		}
		writeKeys(t, path, two)
		if err := w.Check(); err != nil || !slices.Equal(keysOf(w.ring), testKeys(2)) {
			t.Errorf("asked: %s, %v", clusterkey.Describe(keysOf(w.ring)), err)
		}
	})
}

// Three hosts change their key one by one while containers start on all of them. Each container is
// seen everywhere as fast as ever, no host is unreachable at any time, and nothing is refused.
// After that the old key is worth nothing.
func TestKeyRotationUnderLoad(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		const count = 3
		old, fresh := clusterkey.Key{1}, clusterkey.Key{2}
		var hosts []*host
		var paths []string
		for i := 1; i <= count; i++ {
			path := filepath.Join(t.TempDir(), "key")
			writeKeys(t, path, old)
			file := followKeyFile(t, path).KeyFile
			paths = append(paths, path)
			hosts = append(hosts, startHost(t, n, i, func(c *Config) { c.Keys, c.KeyFile = nil, file }))
		}
		names := make([][]string, count)
		startContainers := func() {
			t.Helper()
			for i, h := range hosts {
				names[i] = append(names[i], fmt.Sprintf("c%d-%03d", i+1, len(names[i])))
				h.announce(names[i]...)
			}
			for i, h := range hosts {
				changed := make(map[int]string)
				for o := range hosts {
					changed[o+1] = strings.Join(names[o], " ")
				}
				h.waitUntilSees(300*time.Millisecond, expectOthers(i+1, count, changed))
			}
		}
		time.Sleep(5 * time.Second)
		for _, step := range [][]clusterkey.Key{{old, fresh}, {fresh, old}, {fresh}} {
			for i := range hosts {
				writeKeys(t, paths[i], step...)
				for range 20 { // the file of this host is taken meanwhile, that of the next is not there yet
					startContainers()
					time.Sleep(200 * time.Millisecond)
				}
			}
		}
		for i, h := range hosts {
			if got := keysOf(h.cfg.KeyFile.ring); !slices.Equal(got, testKeys(2)) {
				t.Errorf("%s has %s", h.cfg.Host.Name(), clusterkey.Describe(got))
			}
			if h.log.Count("unreachable") > 0 || len(h.Health().Refused) > 0 {
				t.Errorf("host %d: %+v\n%s", i+1, h.Health().Refused, h.log.String())
			}
		}
		startHost(t, n, count+1, func(c *Config) { c.Keys = []clusterkey.Key{old} })
		time.Sleep(10 * time.Second)
		if !slices.ContainsFunc(hosts[0].Health().Refused, func(r cluster.Refusal) bool { return r.Reason == string(refusal.ReasonWrongKey) }) {
			t.Errorf("the old key is accepted: %+v, %s", hosts[0].Health().Refused, hosts[0].sees())
		}
	})
}
