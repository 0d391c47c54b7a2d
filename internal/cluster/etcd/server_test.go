package etcd

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"vxlan-driver/internal/cluster/etcd/etcdtest"
)

// etcdServers is a real etcd.
type etcdServers []*etcdtest.Server

// startServers starts an etcd of so many members, which ends with the test. They elect a leader soon.
func startServers(t *testing.T, count int, extra ...string) etcdServers {
	t.Helper()
	soon := []string{"--heartbeat-interval", "50", "--election-timeout", "500"}
	return etcdtest.Start(t, count, append(soon, extra...)...)
}

func (all etcdServers) urls() []string { return etcdtest.URLs(all) }

func (all etcdServers) killAll() {
	for _, s := range all {
		s.Kill()
	}
}

func (all etcdServers) startAll() {
	for _, s := range all {
		s.Start()
	}
}

// connect returns a client of the tests' own, once etcd answers.
func (all etcdServers) connect(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: all.urls(), DialTimeout: time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	all.await(t, c)
	return c
}

func (all etcdServers) await(t *testing.T, c *clientv3.Client) {
	t.Helper()
	eventually(t, "etcd answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, "x")
		return err == nil
	})
}

// leader returns the number of the leader.
func (all etcdServers) leader(t *testing.T, c *clientv3.Client) int {
	t.Helper()
	leader := -1
	eventually(t, "there is a leader", func() bool {
		for i, s := range all {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			status, err := c.Status(ctx, s.ClientURL)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				leader = i
			}
		}
		return leader >= 0
	})
	return leader
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for began := time.Now(); !isSo(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("after a minute it is not so: %s", what)
		}
	}
}
