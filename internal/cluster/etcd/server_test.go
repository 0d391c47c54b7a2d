package etcd

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// server is a member of a real etcd, on loopback.
type server struct {
	t            *testing.T
	name         string
	client, peer string // URLs
	args         []string
	cmd          *exec.Cmd
	log          string
	ended        chan struct{}
}

// etcdServers is a real etcd.
type etcdServers []*server

// startServers starts an etcd of so many members, which ends with the test.
func startServers(t *testing.T, count int, extra ...string) etcdServers {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("etcd is missing: install etcd-server: %v", err)
		}
		t.Skip("needs etcd: install etcd-server")
	}
	scheme := "http"
	if len(extra) > 0 && strings.HasPrefix(extra[0], "--cert-file") {
		scheme = "https"
	}
	var all etcdServers
	var initial []string
	for i := range count {
		s := &server{t: t, name: fmt.Sprint("m", i), client: scheme + "://" + freeAddr(t), peer: "http://" + freeAddr(t)}
		s.log = filepath.Join(t.TempDir(), "log")
		all, initial = append(all, s), append(initial, s.name+"="+s.peer)
	}
	for _, s := range all {
		s.args = append([]string{"--name", s.name, "--data-dir", filepath.Join(t.TempDir(), "data"),
			"--listen-client-urls", s.client, "--advertise-client-urls", s.client,
			"--listen-peer-urls", s.peer, "--initial-advertise-peer-urls", s.peer,
			"--initial-cluster", strings.Join(initial, ","), "--logger", "zap", "--log-level", "error",
			"--heartbeat-interval", "50", "--election-timeout", "500"}, extra...)
		s.start()
		t.Cleanup(s.kill)
	}
	return all
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("etcd", s.args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd)
}

// kill ends the server as a crash does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (all etcdServers) urls() (urls []string) {
	for _, s := range all {
		urls = append(urls, s.client)
	}
	return urls
}

func (all etcdServers) killAll() {
	for _, s := range all {
		s.kill()
	}
}

func (all etcdServers) startAll() {
	for _, s := range all {
		s.start()
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
			status, err := c.Status(ctx, s.client)
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
