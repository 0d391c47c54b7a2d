package survey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
)

const programTimeout = 5 * time.Second

// run runs a program, and returns what it prints.
func (c *collector) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// Without a home directory podman looks for no configuration there, which the agent's unit may not
	// see.
	cmd.Env = append(os.Environ(), "HOME=/")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// readJSON runs a program that prints JSON.
func (c *collector) readJSON(to any, name string, args ...string) error {
	out, err := c.run(name, args...)
	if err != nil || strings.TrimSpace(out) == "" {
		return err
	}
	if err := json.Unmarshal([]byte(out), to); err != nil {
		return fmt.Errorf("%s %s: read its output: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// netavarkPaths are where distributions install netavark.
var netavarkPaths = []string{
	"/usr/local/libexec/podman/netavark", "/usr/libexec/podman/netavark",
	"/usr/local/lib/podman/netavark", "/usr/lib/podman/netavark",
}

// pluginDirs are where netavark looks for plugins (netavark-plugins(7), containers.conf(5)).
var pluginDirs = []string{"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark",
	"/usr/lib/netavark"}

func (c *collector) podman() {
	c.Podman.Version = c.versionOf("podman")
	for _, path := range netavarkPaths {
		if c.Podman.Netavark = c.versionOf(path); c.Podman.Netavark != "" {
			break
		}
	}
	if c.Podman.Netavark == "" && c.Podman.Version != "" { // it may be elsewhere, as containers.conf says
		c.netavarkElsewhere()
	}
	var paths []string
	for _, dir := range pluginDirs {
		paths = append(paths, filepath.Join(dir, "vxlan"))
	}
	var path string
	if path, c.Podman.Obstacle = findProgram(paths); path != "" {
		if _, err := c.run(path, "info"); errors.Is(err, unix.ENOEXEC) {
			c.Podman.Obstacle = doctor.Obstacle{Path: path, Why: err.Error(), Mend: doctor.InstallAgain}
			return
		}
		c.Podman.PluginDir = filepath.Dir(path)
	}
}

// netavarkElsewhere asks Podman for netavark. In the agent's unit that may fail for other reasons.
func (c *collector) netavarkElsewhere() {
	path, err := c.run("podman", "info", "--format", "{{.Host.NetworkBackendInfo.Path}}")
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && !bytes.Contains(failed.Stderr, []byte("netavark")) {
		c.gap("where netavark is", err)
		return
	}
	out, versionErr := c.run(strings.TrimSpace(path), "--version")
	if c.Podman.Netavark = lastWord(out); err != nil || versionErr != nil {
		c.Podman.NoNetavark = "podman info finds no network backend"
		c.Podman.Reinstall = reinstallCommand("netavark")
	}
}

// reinstallCommand is how this distribution's packages are installed again; "": it is not known.
func reinstallCommand(name string) string {
	for _, p := range []struct{ program, command string }{
		{"/usr/bin/apt-get", "apt-get install --reinstall "}, {"/usr/bin/dnf", "dnf reinstall "},
		{"/usr/bin/pacman", "pacman -S "},
		{"/usr/bin/zypper", "zypper install --force "},
	} {
		if _, err := os.Stat(p.program); err == nil {
			return p.command + name
		}
	}
	return ""
}

// packageOf returns the package that has a program by which the host is looked at; "": it is not known.
func packageOf(program string) string {
	switch program {
	case "ip", "bridge", "tc", "ss":
		if _, err := os.Stat("/usr/bin/dnf"); err == nil && program != "tc" {
			return "iproute"
		} else if err == nil {
			return "iproute-tc"
		}
		return "iproute2"
	case "nft":
		return "nftables"
	case "nsenter":
		return "util-linux"
	}
	return ""
}

// findProgram returns the first program that can be executed, or what keeps one from it.
func findProgram(paths []string) (path string, o doctor.Obstacle) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if unix.Access(path, unix.X_OK) == nil {
			return path, doctor.Obstacle{}
		}
		o = doctor.Obstacle{Path: path, Why: fmt.Sprintf("it has the mode %v", info.Mode()), Mend: "chmod 755 " + path}
		if mount := mountOf(path); info.Mode()&0o111 != 0 {
			o.Why, o.Mend = "it is on a mount with the option noexec, "+mount, "mount -o remount,bind,exec "+mount
		}
	}
	return "", o
}

// mountOf returns the mount on which a file is: the last one above it.
func mountOf(path string) string {
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		var here, above unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID, &here) == nil &&
			unix.Statx(unix.AT_FDCWD, filepath.Dir(dir), 0, unix.STATX_MNT_ID, &above) == nil && here.Mnt_id != above.Mnt_id {
			return dir
		}
	}
	return "/"
}

// versionOf returns what a program says of its version, "" if it is not installed.
func (c *collector) versionOf(program string) string {
	out, err := c.run(program, "--version")
	if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
		c.gap("the version of "+filepath.Base(program), err)
	}
	return lastWord(out)
}

func lastWord(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1]
}
