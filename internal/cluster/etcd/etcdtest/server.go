package etcdtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Server is a member of an etcd.
type Server struct {
	Name               string
	ClientURL, PeerURL string
	Args               []string // of its command; later ones win

	t     testing.TB
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// Start starts an etcd of so many members, which ends with the test. Extra arguments are each member's. Where there
// is no etcd the test is skipped, and with CI=true it fails.
func Start(t testing.TB, count int, extra ...string) (all []*Server) {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("etcd is missing: install etcd-server: %v", err)
		}
		t.Skip("needs etcd: install etcd-server")
	}
	scheme := "http"
	if slices.ContainsFunc(extra, func(arg string) bool { return strings.HasPrefix(arg, "--cert-file") }) {
		scheme = "https"
	}
	var initial []string
	for i := range count {
		s := &Server{t: t, Name: fmt.Sprint("m", i), ClientURL: scheme + "://" + FreeAddr(t),
			PeerURL: "http://" + FreeAddr(t), log: filepath.Join(t.TempDir(), "log")}
		all, initial = append(all, s), append(initial, s.Name+"="+s.PeerURL)
	}
	for _, s := range all {
		s.Args = append([]string{"--name", s.Name, "--data-dir", filepath.Join(t.TempDir(), "data"),
			"--listen-client-urls", s.ClientURL, "--advertise-client-urls", s.ClientURL,
			"--listen-peer-urls", s.PeerURL, "--initial-advertise-peer-urls", s.PeerURL,
			"--initial-cluster", strings.Join(initial, ","), "--logger", "zap", "--log-level", "error"}, extra...)
		s.Start()
		t.Cleanup(s.Kill)
	}
	return all
}

// URLs are those of all members.
func URLs(all []*Server) (urls []string) {
	for _, s := range all {
		urls = append(urls, s.ClientURL)
	}
	return urls
}

// FreeAddr is an address of loopback on which nobody listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start starts a member, or starts it again with what it had.
func (s *Server) Start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("etcd", s.Args...)
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

// Kill ends the member as a crash does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// PID is that of the member's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }
