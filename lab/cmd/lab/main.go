// Command lab starts, enters and removes labs: several real Podman hosts on this machine. See
// package lab.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/demo"
)

const usage = `Usage: lab COMMAND [FLAGS] [ARGUMENTS]

Runs several real Podman hosts on this machine, as root, in namespaces. Nothing of the machine's own network, mounts or
containers is touched, and "lab down" leaves nothing behind but the downloaded tree.

Commands:
  up                 start a lab: host-a (198.18.0.11, fd00:198:18::11), host-b (198.18.0.12, …), …
  exec HOST CMD…     run a command in a host
  shell HOST         open a shell in a host
  reboot HOST        cut a host's power and boot it again
  ls                 list labs and their hosts
  demo               start three hosts, type the documented commands on them, show what comes back
  down               remove a lab, and every lab whose maker died
  prepare            download the tree that hosts run on; "up" does this too (a minute, once per suite)

Flags, before the arguments:
  -name NAME         up, exec, shell, reboot, down: which lab (default "demo")
  -hosts N           up: number of hosts, 1 to 26 (default 2)
  -outside           up: one host more, "outside", on the same underlay but without the plugin
  -mtu BYTES         up: MTU of the underlay (default 1500)
  -plugin PATH       up: netavark plugin to install in every host (default: bin/vxlan, if there is one)
  -binary PATH       up: program to copy to /usr/local/bin of every host; may be given several times
  -suite SUITE       up, prepare: trixie (Podman 5.4, default), forky (Podman 5.8), experimental (Podman 6),
                     docker, dnf (trixie with these), or host (this machine's own Podman)

Environment: VXLAN_LAB_SUITE is the default of -suite, VXLAN_LAB_CACHE replaces /var/cache/vxlan-lab.

Example:
  lab up -hosts 3
  lab exec host-a ping -c1 198.18.0.12
  lab exec host-a podman run --rm busybox echo hello
  lab down
`

// options are the values of all flags; a command uses those that usage lists for it.
type options struct {
	config lab.Config
	suite  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := runCommand(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	command, rest := args[0], args[1:]
	if command == "help" || command == "-h" || command == "-help" || command == "--help" {
		fmt.Fprint(stdout, usage)
		return 0
	}
	opts, rest, err := parseArgs(command, rest)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "lab %s: %v; see: lab --help\n", command, err)
		return 2
	}
	err = runSubcommand(ctx, command, opts, rest, stdout, stderr)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && (command == "exec" || command == "shell") {
		return max(exit.ExitCode(), 1) // of the command in the host, which said itself what is wrong
	}
	if err != nil {
		fmt.Fprintf(stderr, "lab %s: %v\n", command, err)
		return 1
	}
	return 0
}

// parseArgs reads the flags of a command, and rejects those that it does not have.
func parseArgs(command string, args []string) (options, []string, error) {
	var o options
	flags := flag.NewFlagSet("lab "+command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, and where the help is
	if command != "prepare" && command != "ls" {
		flags.StringVar(&o.config.Name, "name", "demo", "")
	}
	if command == "up" || command == "prepare" {
		flags.StringVar(&o.suite, "suite", "", "")
	}
	if command == "up" || command == "demo" {
		flags.StringVar(&o.config.Plugin, "plugin", "", "")
	}
	if command == "up" {
		flags.IntVar(&o.config.Hosts, "hosts", 2, "")
		flags.BoolVar(&o.config.Outside, "outside", false, "")
		flags.IntVar(&o.config.MTU, "mtu", 1500, "")
		flags.Func("binary", "", func(path string) error {
			o.config.Binaries = append(o.config.Binaries, path)
			return nil
		})
	}
	if err := flags.Parse(args); err != nil {
		return o, nil, err
	}
	want := map[string]string{"exec": "HOST CMD…", "shell": "HOST", "reboot": "HOST"}[command]
	n := flags.NArg()
	if least := len(strings.Fields(want)); n < least || n > least && command != "exec" {
		return o, nil, fmt.Errorf("want arguments %q after the flags, got %q", want, flags.Args())
	}
	return o, flags.Args(), nil
}

func runSubcommand(ctx context.Context, command string, o options, args []string, stdout, stderr io.Writer) error {
	switch command {
	case "up":
		return startLab(ctx, o, stdout, stderr)
	case "demo":
		plugin := "bin/vxlan"
		if o.config.Plugin != "" {
			plugin = o.config.Plugin
		}
		return demo.Run(ctx, stdout, plugin, "bin/vxland", "bin/vxlanctl")
	case "prepare":
		tree, err := lab.Prepare(ctx, o.suite, stderr)
		if err == nil {
			fmt.Fprintln(stdout, tree.Root)
		}
		return err
	case "ls":
		return listLabs(stdout)
	case "down":
		return stopLab(ctx, o.config.Name)
	case "exec":
		return execInHost(ctx, o.config.Name, args[0], args[1:])
	case "shell":
		return execInHost(ctx, o.config.Name, args[0], []string{"bash", "-l"})
	case "reboot":
		host, err := openLab(o.config.Name, args[0])
		if err != nil {
			return err
		}
		return host.Reboot(ctx)
	}
	return fmt.Errorf("no such command; see: lab --help")
}

func startLab(ctx context.Context, o options, stdout, stderr io.Writer) error {
	if _, err := os.Stat("bin/vxlan"); err == nil && o.config.Plugin == "" {
		o.config.Plugin = "bin/vxlan"
		// Without the agent each container of a network with names would start with a warning.
		for _, program := range []string{"bin/vxland", "bin/vxlanctl"} {
			if _, err := os.Stat(program); err == nil {
				o.config.Binaries = append(o.config.Binaries, program)
			}
		}
	}
	tree, err := lab.Prepare(ctx, o.suite, stderr)
	if err != nil {
		return err
	}
	start := time.Now()
	o.config.Tree, o.config.Detached = tree, true
	l, err := lab.Start(ctx, o.config)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "lab %q is up after %v; remove it with: lab down -name %s\n",
		l.Name(), time.Since(start).Round(time.Millisecond), l.Name())
	printLab(stdout, l)
	return nil
}

func listLabs(stdout io.Writer) error {
	names, err := lab.Names()
	for _, name := range names {
		l, openErr := lab.Open(name)
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		printLab(stdout, l)
	}
	return err
}

func printLab(w io.Writer, l *lab.Lab) {
	hosts := l.Hosts()
	if outside := l.Host("outside"); outside != nil {
		hosts = append(hosts, outside)
	}
	for _, h := range hosts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tinit pid %d\n", l.Name(), h.Name(), h.Addr4(), h.Addr6(), h.PID())
	}
}

func stopLab(ctx context.Context, name string) error {
	if l, err := lab.Open(name); err == nil {
		if err := l.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return lab.Sweep(ctx)
}

func openLab(name, host string) (*lab.Host, error) {
	l, err := lab.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no lab %q is up; see: lab ls", name)
	} else if err != nil {
		return nil, err
	}
	if h := l.Host(host); h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("lab %q has no host %q; see: lab ls", name, host)
}

// execInHost runs a command in a host on the caller's own terminal, pipes or files.
func execInHost(ctx context.Context, name, host string, argv []string) error {
	h, err := openLab(name, host)
	if err != nil {
		return err
	}
	// The terminal sends Ctrl-C to the command as well, which is to decide what it means: main
	// caught it for us, and here it does nothing. (Ignoring it would be wrong, as the command would
	// inherit that.)
	cmd := h.Interactive(context.WithoutCancel(ctx), argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
