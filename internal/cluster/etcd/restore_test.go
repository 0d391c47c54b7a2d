package etcd

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/etcdtest"
)

// backUp saves what etcd has, and returns how to restore that.
func backUp(t *testing.T, s *etcdtest.Server, c *clientv3.Client) (restore func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backup")
	from, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		s.Kill()
		dir := filepath.Join(t.TempDir(), "restored")
		cmd := exec.Command("etcdctl", "snapshot", "restore", file, "--data-dir", dir, "--name", s.Name,
			"--initial-cluster", s.Name+"="+s.PeerURL, "--initial-advertise-peer-urls", s.PeerURL)
		cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("etcdctl snapshot restore: %v\n%s", err, out)
		}
		s.Args = append(s.Args, "--data-dir", dir)
		s.Start()
	}
}

// A backup that is restored lacks what was announced since, and has what is gone. Hosts notice it though their
// watches go on, and write anew what they have. Until all had the time for that, nobody gets an address.
func TestBackupIsRestored(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("etcdctl"); err != nil && os.Getenv("CI") != "true" {
		t.Skipf("needs etcdctl: install etcd-client: %v", err)
	}
	servers := startServers(t, 1)
	c := servers.connect(t)
	short := func(c *Config) { c.Lease = 2 * time.Second }
	a, b := startHost(t, 1, servers.urls(), short), startHost(t, 2, servers.urls(), short)
	b.join()
	a.add("a1", "10.0.0.2")
	a.add("a2", "10.0.0.3")
	b.awaitSees(a, "a1[10.0.0.2] a2[10.0.0.3]")
	restore := backUp(t, servers[0], c)
	a.remove("a1")
	a.add("a3", "10.0.0.4")
	a.add("a4", "10.0.0.5")
	b.awaitSees(a, "a2[10.0.0.3] a3[10.0.0.4] a4[10.0.0.5]")
	a.awaitSynced()
	want := dump(t, c)
	restore()
	servers.await(t, c)
	for _, h := range []*testHost{a, b} {
		eventually(t, "the host has noticed it", func() bool {
			return strings.Contains(strings.Join(h.Health().Warnings, "\n"), "etcd was restored from an older state")
		})
		if holder, err := h.claim("c1", "10.0.0.4"); err == nil && holder == (cluster.Holder{}) {
			t.Error("an address was given away before its host could write it anew")
		}
	}
	eventually(t, "all keys are as before", func() bool { return maps.Equal(dump(t, c), want) })
	b.awaitSees(a, "a2[10.0.0.3] a3[10.0.0.4] a4[10.0.0.5]")
	eventually(t, "addresses are given again", func() bool {
		holder, err := b.claim("b1", "10.0.0.2")
		return err == nil && holder == (cluster.Holder{})
	})
	if holder, err := b.claim("b2", "10.0.0.4"); err != nil || holder.ContainerID != "a3" {
		t.Errorf("got %+v, %v", holder, err)
	}
}

// An address of which somebody has deleted the key comes back, before another container asks for it. Nor does
// this host itself give it to a second container meanwhile.
func TestDeletedAddressComesBack(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	c := servers.connect(t)
	a := startHost(t, 1, servers.urls(), func(c *Config) { c.verifyInterval = time.Second })
	a.add("a1", "10.0.0.2", "fd00::2")
	a.add("a2", "10.0.0.3")
	a.awaitSynced()
	eventually(t, "all is there", func() bool { return len(dump(t, c)) == 8 })
	want := dump(t, c)
	const key = "/vxlan/v1/networks/42-4789/addresses/10.0.0.2"
	if _, err := c.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if holder, err := a.claim("a3", "10.0.0.2"); err != nil || holder.ContainerID != "a1" {
		t.Errorf("got %+v, %v", holder, err)
	}
	eventually(t, "the address is back", func() bool { return maps.Equal(dump(t, c), want) })
	if _, err := c.Put(t.Context(), key, `{"host":"`+id2+`","host_name":"other","container":"x"}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is told that another has the address", func() bool {
		return strings.Contains(strings.Join(a.Health().Warnings, "\n"), "address 10.0.0.2 of the network of VNI 42 is that "+
			"of container a1 here, and was given to container x on host other meanwhile")
	})
}

// An agent that starts after a backup was restored notices it too, by what the host has kept. So does the next
// one, until addresses are given again.
func TestBackupIsRestoredWhileNoAgentRuns(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("etcdctl"); err != nil && os.Getenv("CI") != "true" {
		t.Skipf("needs etcdctl: install etcd-client: %v", err)
	}
	servers := startServers(t, 1)
	c := servers.connect(t)
	kept := func(c *Config) {
		c.Lease, c.MarkFile = 2*time.Second, filepath.Join(t.TempDir(), "kept", "etcd-revision")
	}
	a, b := startHost(t, 1, servers.urls(), kept), startHost(t, 2, servers.urls(), kept)
	b.join()
	a.add("a1", "10.0.0.2")
	b.awaitSees(a, "a1[10.0.0.2]")
	restore := backUp(t, servers[0], c)
	a.add("a2", "10.0.0.3")
	b.awaitSees(a, "a1[10.0.0.2] a2[10.0.0.3]")
	a.awaitSynced()
	want := dump(t, c)
	a.stop()
	b.stop()
	restore()
	servers.await(t, c)
	const warning = "etcd was restored from an older state: hosts write anew what they have"
	for range 2 {
		b.start(b.cfg)
		b.publish()
		eventually(t, "the agent that starts has noticed it", func() bool {
			return strings.Contains(strings.Join(b.Health().Warnings, "\n"), warning)
		})
		if holder, err := b.claim("b1", "10.0.0.3"); err == nil && holder == (cluster.Holder{}) {
			t.Error("an address was given away before its host could write it anew")
		}
		b.stop()
	}
	b.start(b.cfg)
	b.publish()
	a.start(a.cfg)
	a.publish()
	eventually(t, "all keys are as before", func() bool { return maps.Equal(dump(t, c), want) })
	eventually(t, "addresses are given again", func() bool {
		holder, err := b.claim("b1", "10.0.0.3")
		return err == nil && holder.ContainerID == "a2"
	})
	b.restart()
	b.awaitSynced()
	if got := strings.Join(b.Health().Warnings, "\n"); strings.Contains(got, warning) {
		t.Errorf("the restore is over, and the next agent says: %s", got)
	}
}

// A host that has left etcd may be given another one, which is not taken for an older state of the first.
func TestHostThatLeftForgetsEtcd(t *testing.T) {
	t.Parallel()
	first, second := startServers(t, 1), startServers(t, 1)
	h := startHost(t, 1, first.urls(), func(c *Config) { c.MarkFile = filepath.Join(t.TempDir(), "etcd-revision") })
	h.add("a1", "10.0.0.2")
	h.awaitSynced()
	h.restart()
	h.awaitSynced()
	if m, err := readMark(h.cfg.MarkFile); err != nil || m.Revision == 0 {
		t.Errorf("a host that is on a network keeps %+v, %v", m, err)
	}
	if err := h.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	h.stop()
	moved := h.cfg
	moved.Endpoints = second.urls()
	h.start(moved)
	h.publish()
	if holder, err := h.claim("a2", "10.0.0.3"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("claim in the other etcd: %+v, %v", holder, err)
	}
}

// An etcd that is another one than the host knew counts as restored too. What cannot be read is no mark.
func TestMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "etcd-revision")
	if m, err := readMark(path); err != nil || m != (mark{}) {
		t.Errorf("without a file: %+v, %v", m, err)
	}
	known := mark{Cluster: 1<<64 - 1, Revision: 1<<62 + 1}
	for range 2 {
		if err := known.write(path); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := readMark(path); err != nil || m != known {
		t.Errorf("got %+v, %v", m, err)
	}
	for _, test := range []struct {
		name    string
		known   mark
		answer  *pb.ResponseHeader
		isOlder bool
	}{
		{"nothing was known", mark{}, &pb.ResponseHeader{ClusterId: 7, Revision: 3}, false},
		{"as it was", mark{Cluster: 7, Revision: 3}, &pb.ResponseHeader{ClusterId: 7, Revision: 3}, false},
		{"newer", mark{Cluster: 7, Revision: 3}, &pb.ResponseHeader{ClusterId: 7, Revision: 4}, false},
		{"older", mark{Cluster: 7, Revision: 3}, &pb.ResponseHeader{ClusterId: 7, Revision: 2}, true},
		{"another one", mark{Cluster: 7, Revision: 3}, &pb.ResponseHeader{ClusterId: 8, Revision: 9}, true},
	} {
		if got := test.known.isOlderIn(test.answer); got != test.isOlder {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := readMark(path); err == nil || m != (mark{}) || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged: %+v, %v", m, err)
	}
}
