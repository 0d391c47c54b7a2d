package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// TestMain lets the scripts run this program as vxlanctl, on a terminal too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vxlanctl": runIsolated, "onterminal": runOnTerminal})
}

// insideEnv is set in the process that is isolated, uidEnv says as whom it runs, and configEnv is a file
// that is the agent's configuration there.
const (
	insideEnv = "VXLANCTL_TEST_INSIDE"
	uidEnv    = "VXLANCTL_TEST_UID"
	configEnv = "VXLANCTL_TEST_CONFIG"
)

// runIsolated runs the tool on a host that has nothing yet: with namespaces and directories of its
// own, where this process may make them. Otherwise it is a user without privileges anyway.
func runIsolated() {
	switch {
	case os.Getenv(insideEnv) != "":
		if err := enterEmptyHost(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the test:", err)
			os.Exit(99)
		}
		main()
	case os.Geteuid() != 0:
		main()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		os.Exit(0)
	case ended && exit.Exited():
		os.Exit(exit.ExitCode())
	case !ended:
		fmt.Fprintln(os.Stderr, "run the test:", err)
	}
	os.Exit(98) // killed by a signal, as by SIGPIPE
}

// enterEmptyHost hides what this machine has, and gives up root where the script says so.
func enterEmptyHost() error {
	errs := []error{unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")}
	for _, dir := range []string{
		"/run", "/etc/containers", "/etc/vxlan", "/var/lib/vxlan",
		"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark",
	} {
		if _, err := os.Stat(dir); err == nil {
			errs = append(errs, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
		}
	}
	if file := os.Getenv(configEnv); file != "" {
		text, err := os.ReadFile(file)
		// The machine may have no /etc/vxlan, and is to get none.
		errs = append(errs, err, unix.Mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"), os.Mkdir("/etc/vxlan", 0o755),
			os.WriteFile("/etc/vxlan/vxland.toml", text, 0o600))
	}
	if uid := os.Getenv(uidEnv); uid != "" {
		id, err := strconv.Atoi(uid)
		errs = append(errs, err, syscall.Setgid(id), syscall.Setuid(id))
	}
	return errors.Join(errs...)
}

// TestScripts types commands as people do, on a host without networks and without an agent.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) { return cond == "root" && os.Geteuid() == 0, nil },
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command that must end with a code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with %d, not %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// Every subcommand has examples, help whose lines fit a terminal, and a script that types it.
func TestEverySubcommandIsDocumentedAndTyped(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	for _, c := range allCommands(newCommand()) {
		if c.Example == "" || c.Short == "" || c.Long == "" {
			t.Errorf("%s has no example, or no text", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 90 {
				t.Errorf("%s: a line of its help has %d columns: %s", c.CommandPath(), n, line)
			}
		}
		if !strings.Contains(scripts.String(), " "+c.CommandPath()) {
			t.Errorf("no script types %s", c.CommandPath())
		}
	}
}

func allCommands(c *cobra.Command) (all []*cobra.Command) {
	all = append(all, c)
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			all = append(all, allCommands(sub)...)
		}
	}
	return all
}
