package launch

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

	"vxlan-driver/internal/agentapi"
)

// socketInPath has the test's own program be an agent; spawn passes on no other variable than PATH.
const socketInPath = "/launch-test-socket:"

func TestMain(m *testing.M) {
	if socket, ok := strings.CutPrefix(os.Getenv("PATH"), socketInPath); ok {
		if err := beAgent(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beAgent answers for a second, if it was started as the plugin does.
func beAgent(socket string) error {
	if len(os.Args) != 2 || os.Args[1] != "--keep" {
		return fmt.Errorf("arguments %q", os.Args[1:])
	}
	if os.Remove(socket+".kill") == nil {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	l, err := agentapi.Listen(socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fmt.Fprintln(os.Stderr, "agent runs")
	return agentapi.Serve(ctx, l, func(context.Context, agentapi.Request) agentapi.Response { return agentapi.Response{} })
}

// agent is one whose program is the script, "" for the test's own.
func agent(t *testing.T, script string) Agent {
	t.Helper()
	dir := t.TempDir()
	a := Agent{Socket: filepath.Join(dir, "s"), Log: filepath.Join(dir, "log"), Binary: filepath.Join(dir, "vxland")}
	if script == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		a.Binary = self
		t.Setenv("PATH", socketInPath+a.Socket)
		return a
	}
	if err := os.WriteFile(a.Binary, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSyncStartsTheAgent(t *testing.T) {
	a := agent(t, "")
	a.StoreChanged() // starts nothing
	if _, err := os.Stat(a.Log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("started by a notice: %v", err)
	}
	for range 2 {
		if err := a.Sync("7c7b"); err != nil {
			t.Error(err)
		}
	}
	if log, err := os.ReadFile(a.Log); err != nil || string(log) != "agent runs\n" {
		t.Errorf("log: %q, %v", log, err)
	}
}

func TestSyncSaysWhyThereIsNoAgent(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"ends at once", "echo wrong >&2; exit 1", []string{"it ended at once: exit status 1", "see "}},
		{"ends well at once", "exit 0", []string{"it ended at once: exit status 0"}},
		{"is killed each time", "echo again >&2; kill -9 $$", []string{"it ended at once: signal: killed"}},
		{"does not listen", "exec sleep 3", []string{"it does not answer within 2s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent(t, tt.script)
			began := time.Now()
			err := a.Sync("7c7b")
			for _, want := range append(tt.want, a.Log) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
			if took := time.Since(began); took > patience+time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	t.Run("is not installed", func(t *testing.T) {
		a := agent(t, "exit 0")
		if err := os.Remove(a.Binary); err != nil {
			t.Fatal(err)
		}
		if err := a.Sync("7c7b"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// As by a shortage of memory, or by somebody who has all agents start anew.
func TestAnAgentThatIsKilledAsItStartsIsStartedAgain(t *testing.T) {
	a := agent(t, "")
	if err := os.WriteFile(a.Socket+".kill", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync("7c7b"); err != nil {
		t.Error(err)
	}
	a = agent(t, "echo again >&2; kill -9 $$")
	if err := a.Sync("7c7b"); err == nil {
		t.Error("no error")
	}
	if log, err := os.ReadFile(a.Log); err != nil || strings.Count(string(log), "again") != 1+startAgain {
		t.Errorf("log: %q, %v", log, err)
	}
}
