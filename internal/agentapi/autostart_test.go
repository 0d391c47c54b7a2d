package agentapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// socketPathPrefix in PATH makes the test's own program a fake agent. PATH carries it, since
// spawnDetached passes on no other variable.
const socketPathPrefix = "/autostart-test-socket:"

func TestMain(m *testing.M) {
	if socket, ok := strings.CutPrefix(os.Getenv("PATH"), socketPathPrefix); ok {
		if err := runFakeAgent(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runFakeAgent answers requests for a second. It fails unless it was started as the plugin starts
// the agent.
func runFakeAgent(socket string) error {
	if len(os.Args) != 2 || os.Args[1] != "--keep" {
		return fmt.Errorf("arguments %q", os.Args[1:])
	}
	if os.Remove(socket+".kill") == nil {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	l, err := Listen(socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fmt.Fprintln(os.Stderr, "agent runs")
	return Serve(ctx, l, func(error) {}, func(_ context.Context, r Request) Response {
		if r.Verb == VerbRestart && os.Remove(socket+".old") == nil {
			return Response{Error: `unknown request "restart"`}
		}
		return Response{}
	})
}

// newClient returns a client whose agent is the script; with "" it is runFakeAgent in the test's
// own program.
func newClient(t *testing.T, script string) Client {
	t.Helper()
	dir := t.TempDir()
	c := Client{Socket: filepath.Join(dir, "s"), Log: filepath.Join(dir, "log"), Binary: filepath.Join(dir, "vxland")}
	if script == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c.Binary = self
		t.Setenv("PATH", socketPathPrefix+c.Socket)
		return c
	}
	if err := os.WriteFile(c.Binary, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSyncStartsAgent(t *testing.T) {
	c := newClient(t, "")
	c.Log = filepath.Join(filepath.Dir(c.Log), "run/log") // as on a host that has had no container
	c.StoreChanged()                                      // starts nothing
	if _, err := os.Stat(c.Log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("started by a notice: %v", err)
	}
	for range 2 {
		if err := c.Sync("7c7b"); err != nil {
			t.Error(err)
		}
	}
	if log, err := os.ReadFile(c.Log); err != nil || string(log) != "agent runs\n" {
		t.Errorf("log: %q, %v", log, err)
	}
}

func TestSyncReportsWhyAgentDidNotStart(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"ends at once", "echo wrong >&2; exit 1", []string{"it ended at once: exit status 1", "see "}},
		{"ends well at once", "exit 0", []string{"it ended at once: exit status 0"}},
		{"is killed each time", "echo again >&2; kill -9 $$", []string{"it ended at once: signal: killed"}},
		{"does not listen", "exec sleep 10", []string{"it does not answer within 2s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.script)
			began := time.Now()
			err := c.Sync("7c7b")
			for _, want := range append(tt.want, c.Log) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
			if took := time.Since(began); took > 4*startTimeout {
				t.Errorf("took %v", took)
			}
		})
	}
	t.Run("is not installed", func(t *testing.T) {
		c := newClient(t, "exit 0")
		if err := os.Remove(c.Binary); err != nil {
			t.Fatal(err)
		}
		if err := c.Sync("7c7b"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// A container waits as long, whether a unit has to be reset or not.
func TestResetOfUnitTakesNoLonger(t *testing.T) {
	c := Client{Socket: filepath.Join(t.TempDir(), "s"), Systemd: true}
	l, err := Listen(c.Socket) // so that no unit of this machine is reset
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	deadline := time.Now().Add(startTimeout)
	s := agentStart{Client: c, deadline: deadline, resetAt: time.Now().Add(-time.Second)}
	if err := s.goOn(wrapCallError(syscall.ECONNREFUSED)); err != nil || !s.reset || !s.deadline.Equal(deadline) {
		t.Errorf("got %v; reset: %v; the deadline is %v later", err, s.reset, s.deadline.Sub(deadline))
	}
}

// The kernel kills it when memory is short; an administrator may kill all agents at once.
func TestAgentKilledWhileStartingIsRestarted(t *testing.T) {
	c := newClient(t, "")
	if err := os.WriteFile(c.Socket+".kill", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Sync("7c7b"); err != nil {
		t.Error(err)
	}
	c = newClient(t, "echo again >&2; kill -9 $$")
	if err := c.Sync("7c7b"); err == nil {
		t.Error("no error")
	}
	if log, err := os.ReadFile(c.Log); err != nil || strings.Count(string(log), "again") != 1+maxRestarts {
		t.Errorf("log: %q, %v", log, err)
	}
}

// An agent may be busy for longer than a container waits. It goes on to see to the networks, so
// nobody may take it for one that is gone, or start another.
func TestSlowAgentIsNotAnAbsentOne(t *testing.T) {
	for what, locked := range map[string]bool{"an agent that is busy": true, "a socket of systemd's without an agent": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := Client{Socket: filepath.Join(dir, "s"), Log: filepath.Join(dir, "log"), Lock: filepath.Join(dir, LockFile), Binary: filepath.Join(dir, "vxland")}
			l, err := Listen(c.Socket) // and nobody accepts
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			lock, err := os.Create(c.Lock)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if locked {
				if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
					t.Fatal(err)
				}
			}
			_, err = c.EndpointAdded("7c7b", "c1")
			_, runs := errors.AsType[interface {
				error
				AgentRuns()
			}](err)
			if err == nil || runs != locked || strings.Contains(err.Error(), "see ") == locked {
				t.Errorf("got %v, which says that the agent runs: %v", err, runs)
			}
		})
	}
}
