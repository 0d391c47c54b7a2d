package survey

import (
	"context"
	"encoding/json"
	"fmt"
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
	out, err := exec.CommandContext(ctx, name, args...).Output()
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
	if out, err := c.run("podman", "--version"); err == nil {
		c.Podman.Version = lastWord(out)
	}
	for _, path := range netavarkPaths {
		if out, err := c.run(path, "--version"); err == nil {
			c.Podman.Netavark = lastWord(out)
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

func lastWord(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1]
}
