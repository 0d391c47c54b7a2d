package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/regfile"
)

// upstreamSource finds the name servers for names that are no container's. They may change while
// containers run: the host may boot without any, or connect to a VPN.
type upstreamSource struct {
	configured  []netip.AddrPort // in the agent's configuration
	resolvConf  string           // path of the host's resolv.conf
	networksDir string           // Podman's
	netavarkDir string           // netavark's records of containers on bridge networks
	readFile    func(path string) ([]byte, error)
	log         *slog.Logger

	mu        sync.Mutex
	elsewhere map[string]foundServers // by container id
}

// foundServers are name servers that were found a moment ago.
type foundServers struct {
	servers []netip.AddrPort
	at      time.Time
}

const (
	// upstreamEvents are those of files that are written, and of files that are replaced.
	upstreamEvents = storeEvents | unix.IN_CLOSE_WRITE | unix.IN_MODIFY | unix.IN_MOVED_FROM | unix.IN_MOVE_SELF
	// upstreamDebounce is longer than a program takes to empty resolv.conf and to write it anew.
	upstreamDebounce = 50 * time.Millisecond
	// upstreamPollInterval is for changes without an event, as when something is mounted over
	// resolv.conf.
	upstreamPollInterval = 15 * time.Second
	// elsewhereTTL is how long it is remembered which other networks a container is on, so that it
	// does not cost the host more than other questions to ask for many names.
	elsewhereTTL = time.Second
	// maxSymlinks is how many symbolic links the kernel follows.
	maxSymlinks = 40
)

// netavarkDir is where root's netavark keeps the ports that containers publish by a network of its
// bridge driver, in a file for each of them, NETWORK_CONTAINER, with or without ports.
const netavarkDir = "/run/containers/networks/firewall/ports"

func newUpstreamSource(configured []netip.AddrPort, resolvConf, networksDir string, log *slog.Logger) *upstreamSource {
	return &upstreamSource{
		configured: configured, resolvConf: resolvConf, networksDir: networksDir, netavarkDir: netavarkDir,
		readFile: regfile.ReadState, log: log, elsewhere: make(map[string]foundServers),
	}
}

// HostServers returns the servers to use where a network has none of its own: none if resolv.conf
// cannot be read.
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

// UseCurrentServers gives networks the servers that `podman network update` has set since their
// last container started.
func (u *upstreamSource) UseCurrentServers(networks []hoststate.Network) {
	for i, n := range networks {
		data, err := u.readFile(filepath.Join(u.networksDir, n.Name+".json"))
		if err != nil {
			continue
		}
		// Podman is writing what cannot be parsed, and an event follows.
		var current podmanNetwork
		if json.Unmarshal(data, &current) == nil && current.ID == n.ID {
			networks[i].DNSServers = current.Servers
		}
	}
}

// podmanNetwork is what matters here of a network's file.
type podmanNetwork struct {
	ID       string       `json:"id"`
	Driver   string       `json:"driver"`
	Internal bool         `json:"internal"`
	Servers  []netip.Addr `json:"network_dns_servers"`
}

// ServersElsewhere returns the name servers of a container that is also on a network of Podman's
// own driver with a way out. Netavark has a file for each container on each such network, which it
// reads when firewalld is reloaded.
func (u *upstreamSource) ServersElsewhere(containerID string) []netip.AddrPort {
	u.mu.Lock()
	defer u.mu.Unlock()
	if found, ok := u.elsewhere[containerID]; ok && time.Since(found.at) < elsewhereTTL {
		return found.servers
	}
	maps.DeleteFunc(u.elsewhere, func(_ string, f foundServers) bool { return time.Since(f.at) > elsewhereTTL })
	found := foundServers{u.findServersElsewhere(containerID), time.Now()}
	u.elsewhere[containerID] = found
	return found.servers
}

func (u *upstreamSource) findServersElsewhere(containerID string) []netip.AddrPort {
	for _, n := range u.networksWithWayOut() {
		if _, err := os.Stat(filepath.Join(u.netavarkDir, n.ID+"_"+containerID)); err != nil {
			continue
		}
		if len(n.Servers) == 0 {
			return u.HostServers()
		}
		var servers []netip.AddrPort
		for _, a := range n.Servers {
			servers = append(servers, netip.AddrPortFrom(a, dns.Port))
		}
		return servers
	}
	return nil
}

// networksWithWayOut returns Podman's networks of other drivers that are not internal.
func (u *upstreamSource) networksWithWayOut() []podmanNetwork {
	// Podman's default network is there before it has a file. Its ID is the hash of its name.
	id := sha256.Sum256([]byte("podman"))
	all := map[string]podmanNetwork{"podman": {ID: hex.EncodeToString(id[:]), Driver: "bridge"}}
	files, _ := filepath.Glob(filepath.Join(u.networksDir, "*.json")) // fails only for a bad pattern
	for _, file := range files {
		var n podmanNetwork
		data, err := u.readFile(file)
		if err == nil && json.Unmarshal(data, &n) == nil && n.ID != "" {
			all[strings.TrimSuffix(filepath.Base(file), ".json")] = n
		}
	}
	var networks []podmanNetwork
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if n := all[name]; n.Driver != "vxlan" && !n.Internal {
			networks = append(networks, n)
		}
	}
	return networks
}

// Watch sends, until ctx is done, when name servers may have changed.
func (u *upstreamSource) Watch(ctx context.Context, w *pathWatcher) <-chan struct{} {
	changes := make(chan struct{}, 1)
	last := u.HostServers() // first, so that no change is missed
	resolvConf := w.Watch(ctx, upstreamEvents, func() []string { return pathsOf(u.resolvConf) })
	networks := w.Watch(ctx, upstreamEvents, func() []string {
		files, _ := filepath.Glob(filepath.Join(u.networksDir, "*.json")) // Podman writes them anew in place
		return append([]string{nearestDir(u.networksDir)}, files...)
	})
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

// pathsOf returns what to watch for changes of a file: the file itself, the directories that it may
// be replaced in, and the same of each symbolic link on the way to it.
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

// nearestDir returns a directory or, while it does not exist, the one in which it or a directory
// above it would appear.
func nearestDir(dir string) string {
	for dir != filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return dir
}
