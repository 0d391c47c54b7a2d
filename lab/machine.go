package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// MissingError says that this machine lacks something that a lab needs and that the lab could not
// install.
type MissingError struct {
	What string
	Err  error // why it could not be installed; may be nil
}

// Error names what is missing.
func (e *MissingError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("this machine lacks %s: %v", e.What, e.Err)
	}
	return "this machine lacks " + e.What
}

// Unwrap gives the reason for which it could not be installed.
func (e *MissingError) Unwrap() error { return e.Err }

// tool is something of the machine's that the lab uses: a program in searchPath or a file.
type tool struct {
	name     string
	packages [len(packageManagers)]string // by package manager, in the order of managers
}

// packageManagers are the package managers that the lab can install tools with.
var packageManagers = [...]struct {
	program string
	install []string
}{
	{"apt-get", []string{"apt-get", "install", "-y", "--no-install-recommends"}},
	{"dnf", []string{"dnf", "install", "-y"}},
	{"pacman", []string{"pacman", "-S", "--needed", "--noconfirm"}},
	{"zypper", []string{"zypper", "--non-interactive", "install"}},
}

var (
	// Of util-linux, unshare and nsenter are on every machine; mount and pivot_root come in other
	// packages on Debian.
	hostTools = []tool{
		{"ip", [...]string{"iproute2", "iproute", "iproute2", "iproute2"}},
		{"nsenter", [...]string{"util-linux", "util-linux-core", "util-linux", "util-linux"}},
		{"unshare", [...]string{"util-linux", "util-linux-core", "util-linux", "util-linux"}},
		{"mount", [...]string{"mount", "util-linux-core", "util-linux", "util-linux"}},
		{"pivot_root", [...]string{"util-linux", "util-linux", "util-linux", "util-linux"}},
	}
	debootstrapTools = []tool{
		{"debootstrap", [...]string{"debootstrap", "debootstrap", "debootstrap", "debootstrap"}},
		{debianKeyring, [...]string{"debian-archive-keyring", "debian-keyring", "debian-archive-keyring", "debian-keyring"}},
	}
)

// debianKeyring has the keys with which Debian signs its releases. Without it debootstrap checks no
// signature.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// checkMachine tells whether this process and this kernel can run a lab at all.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return &MissingError{What: "root: a lab makes namespaces and mounts"}
	}
	_, err := cgroupRoot()
	return err
}

// ensureTools installs those tools that are missing.
func ensureTools(ctx context.Context, log io.Writer, tools []tool) error {
	for _, t := range tools {
		if t.isInstalled() {
			continue
		}
		err := t.installPackage(ctx, log)
		if err == nil && !t.isInstalled() {
			err = errors.New("it is not there after an installation")
		}
		if err != nil {
			return &MissingError{What: t.name, Err: err}
		}
	}
	return nil
}

func (t tool) isInstalled() bool {
	if filepath.IsAbs(t.name) {
		_, err := os.Stat(t.name)
		return err == nil
	}
	return lookPath(t.name) != ""
}

func (t tool) installPackage(ctx context.Context, log io.Writer) error {
	for i, manager := range packageManagers {
		if lookPath(manager.program) == "" || t.packages[i] == "" {
			continue
		}
		fmt.Fprintf(log, "installing %s with %s\n", t.packages[i], manager.program)
		argv := append(slices.Clone(manager.install), t.packages[i])
		err := runLogged(ctx, argv)
		if err != nil && manager.program == "apt-get" {
			// A fresh machine knows no packages yet.
			if err = runLogged(ctx, []string{"apt-get", "update"}); err == nil {
				err = runLogged(ctx, argv)
			}
		}
		return err
	}
	return errors.New("no package of it is known here; install it by hand")
}

// lookPath finds a program in searchPath, for root's own PATH may lack sbin; empty if there is
// none.
func lookPath(program string) string {
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// runLogged runs a program of the machine, and gives the end of what it printed if it fails.
func runLogged(ctx context.Context, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, lastLines(string(out), 5))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
