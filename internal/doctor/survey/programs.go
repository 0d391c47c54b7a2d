package survey

import (
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
var pluginDirs = []string{"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark"}

func (c *collector) podman() {
	c.Podman.Version = c.versionOf("podman")
	for _, path := range netavarkPaths {
		if c.Podman.Netavark = c.versionOf(path); c.Podman.Netavark != "" {
			break
		}
	}
	for _, dir := range pluginDirs {
		if info, err := os.Stat(filepath.Join(dir, "vxlan")); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			c.Podman.PluginDir = dir
			break
		}
	}
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
