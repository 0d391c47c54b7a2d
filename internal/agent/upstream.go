package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
)

// upstreamSource finds the name servers for names that are no container's. They may change
// while containers run: the host may boot without any, or connect to a VPN.
type upstreamSource struct {
	configured  []netip.AddrPort // in the agent's configuration
	resolvConf  string           // path of the host's resolv.conf
	networksDir string           // Podman's
	readFile    func(path string) ([]byte, error)
	log         *slog.Logger
}

const (
	// upstreamEvents are those of files that are written, and of files that are replaced.
	upstreamEvents = storeEvents | unix.IN_CLOSE_WRITE | unix.IN_MODIFY | unix.IN_MOVED_FROM | unix.IN_MOVE_SELF
	// upstreamDebounce is longer than a program takes to empty resolv.conf and to write it anew.
	upstreamDebounce = 50 * time.Millisecond
	// upstreamPollInterval is for changes without an event, as when something is mounted over
	// resolv.conf.
	upstreamPollInterval = 15 * time.Second
	// maxSymlinks is how many symbolic links the kernel follows.
	maxSymlinks = 40
)

// HostServers returns the servers to use where a network has none of its own: none if
// resolv.conf cannot be read.
func (u *upstreamSource) HostServers() []netip.AddrPort {
	if len(u.configured) > 0 {
		return u.configured
	}
	data, err := u.readFile(u.resolvConf)
	if err != nil {
		return nil
	}
	return dns.ParseResolvConf(string(data))
}

// UseCurrentServers gives networks the servers that `podman network update` has set since
// their last container started.
func (u *upstreamSource) UseCurrentServers(networks []hoststate.Network) {
	for i, n := range networks {
		data, err := u.readFile(filepath.Join(u.networksDir, n.Name+".json"))
		if err != nil {
			continue
		}
		// Podman is writing what cannot be parsed, and an event follows.
		var current struct {
			ID      string       `json:"id"`
			Servers []netip.Addr `json:"network_dns_servers"`
		}
		if json.Unmarshal(data, &current) == nil && current.ID == n.ID {
			networks[i].DNSServers = current.Servers
		}
	}
}

// Watch sends, until ctx is done, when name servers may have changed.
func (u *upstreamSource) Watch(ctx context.Context) <-chan struct{} {
	changes := make(chan struct{}, 1)
	last := u.HostServers() // first, so that no change is missed
	resolvConf := u.watchPaths(ctx, func() []string { return pathsOf(u.resolvConf) })
	networks := u.watchPaths(ctx, func() []string { return []string{nearestDir(u.networksDir)} })
	go func() {
		poll := time.NewTicker(upstreamPollInterval)
		defer poll.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-networks:
			case <-poll.C:
				if current := u.HostServers(); slices.Equal(current, last) {
					continue
				}
			case <-resolvConf:
				time.Sleep(upstreamDebounce)
				if current := u.HostServers(); slices.Equal(current, last) {
					continue
				}
			}
			last = u.HostServers()
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes
}

// watchPaths is the function of this name. Without inotify changes are found by polling.
func (u *upstreamSource) watchPaths(ctx context.Context, list func() []string) <-chan struct{} {
	events, err := watchPaths(ctx, upstreamEvents, func() ([]string, error) { return list(), nil })
	if err != nil {
		u.log.Warn("cannot watch for changes of name servers", "resolv_conf", u.resolvConf, "networks", u.networksDir, "err", err)
	}
	return events
}

// pathsOf returns what to watch for changes of a file: the file itself, the directories that
// it may be replaced in, and the same of each symbolic link on the way to it.
func pathsOf(path string) []string {
	var paths []string
	for range maxSymlinks {
		paths = append(paths, nearestDir(filepath.Dir(path)), path)
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return paths
}

// nearestDir returns a directory or, while it does not exist, the one in which it or a
// directory above it would appear.
func nearestDir(dir string) string {
	for dir != filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return dir
}
