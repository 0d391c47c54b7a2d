package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// ownRoot makes hosts of the machine itself: its root directory is the tree, covered by each host's
// overlay, so that a recent machine needs no bootstrap. File systems mounted below the root (a
// separate /usr or /var) are not seen by hosts.
type ownRoot struct{}

// Podman runs plugins of netavark since 4.5 (and netavark since 1.6, which came with it).
const minPodmanMajor, minPodmanMinor = 4, 5

func (ownRoot) requiredTools() []tool {
	return []tool{{"busybox", [...]string{"busybox-static", "busybox", "busybox", "busybox-static"}}}
}

func (ownRoot) rootDir(string) string { return "/" }

func (ownRoot) buildTree(context.Context, string, *progress) (string, error) { return "/", nil }

func (ownRoot) describeTree(ctx context.Context) (string, error) {
	for _, program := range []string{"podman", "nft"} {
		if lookPath(program) == "" {
			return "", &MissingError{What: program + " (suite host uses the machine's own; suite trixie brings one)"}
		}
	}
	out, err := exec.CommandContext(ctx, lookPath("podman"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("run podman --version: %w", err)
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "podman version ")
	return "host podman " + version, checkPodmanVersion(version)
}

func checkPodmanVersion(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("parse Podman version %q: %w", version, err)
	}
	if major < minPodmanMajor || major == minPodmanMajor && minor < minPodmanMinor {
		return &MissingError{What: fmt.Sprintf("Podman %d.%d or later, which is the first with network plugins (it "+
			"has %s; suite trixie brings one)",
			minPodmanMajor, minPodmanMinor, version)}
	}
	return nil
}
