package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/definition"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/hostsetup"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/pathcheck"
	"vxlan-driver/internal/podmannet"
	"vxlan-driver/internal/regfile"
)

// CheckRoot implements ctl.ClusterHost.
func (localHost) CheckRoot() error {
	if os.Geteuid() != 0 {
		return fs.ErrPermission
	}
	return nil
}

// ReadFile implements hostsetup.Host.
func (localHost) ReadFile(path string) ([]byte, error) { return regfile.ReadText(path) }

// WriteFile replaces a file of root's alone. After a power cut it is the old or the new one.
func (localHost) WriteFile(path string, data []byte) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Remove removes a file that may be gone already.
func (localHost) Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Name is the host's name.
func (localHost) Name() string {
	name, _ := os.Hostname() // it is only shown
	return name
}

// lookUp asks the kernel of this host.
func lookUp[T any](h localHost, ask func(hoststate.Namespace) (T, error)) (result T, err error) {
	ns, err := h.Open("")
	if err != nil {
		return result, err
	}
	defer ns.Close()
	return ask(ns)
}

// OwnAddress implements hostsetup.Host.
func (h localHost) OwnAddress(known []netip.Addr) (netip.Addr, error) {
	return lookUp(h, func(ns hoststate.Namespace) (netip.Addr, error) { return network.OwnAddress(ns, known) })
}

// OwnAddrs implements ctl.ClusterHost.
func (h localHost) OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error) {
	return lookUp(h, func(ns hoststate.Namespace) ([]netip.Addr, error) { return ns.OwnAddrs(addrs) })
}

// Addresses implements hostsetup.Host. Other hosts do not reach this one by its bridges of networks.
func (localHost) Addresses() (all []hostsetup.InterfaceAddress, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || strings.HasPrefix(i.Name, "br-vx") {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
				all = append(all, hostsetup.InterfaceAddress{Interface: i.Name, Addr: p.Addr()})
			}
		}
	}
	return all, nil
}

// MTU implements hostsetup.Host.
func (h localHost) MTU(addr netip.Addr) (int, error) {
	return lookUp(h, func(ns hoststate.Namespace) (int, error) {
		iface, err := ns.InterfaceByAddr(addr)
		if err == nil && iface.MTU == 0 {
			err = fmt.Errorf("no interface has %v", addr)
		}
		return iface.MTU, err
	})
}

// OpenPath implements hostsetup.Host.
func (localHost) OpenPath(spec enrol.PathSpec) enrol.Path { return pathcheck.Open(spec, nil) }

// KeepAgentRunning implements hostsetup.Host.
func (h localHost) KeepAgentRunning() error { return h.agent.KeepRunning() }

// RefreshAgent implements hostsetup.Host.
func (h localHost) RefreshAgent() error {
	containers, err := h.ContainersWithAgent()
	if err != nil {
		return err
	}
	return h.agent.Refresh(containers > 0)
}

// tokenTimeout is how long it may take to make a token: the agent may just be starting.
const tokenTimeout = 15 * time.Second

// CreateToken implements hostsetup.Host. An agent that has just been started does not know its
// address at once.
func (h localHost) CreateToken(ttl time.Duration) (token string, err error) {
	return agentapi.CallData[string](agentapi.SocketPath, agentapi.VerbTokenCreate, agentapi.TokenRequest{TTL: ttl})
}

// Tokens implements ctl.ClusterHost.
func (localHost) Tokens() ([]enrol.Info, error) {
	return agentapi.CallData[[]enrol.Info](agentapi.SocketPath, agentapi.VerbTokenList, nil)
}

// RevokeToken implements ctl.ClusterHost.
func (localHost) RevokeToken(id string) (enrol.Info, error) {
	return agentapi.CallData[enrol.Info](agentapi.SocketPath, agentapi.VerbTokenRevoke, agentapi.TokenRequest{ID: id})
}

// LeaveClusters implements hostsetup.Host. Without an agent there is nobody to leave.
func (localHost) LeaveClusters() error {
	_, err := agentapi.Call(agentapi.SocketPath, agentapi.Request{Verb: agentapi.VerbLeave}, time.Now().Add(tokenTimeout))
	if errors.Is(err, agentapi.ErrNotRunning) {
		return nil
	}
	return err
}

// GossipContainers implements hostsetup.Host.
func (h localHost) GossipContainers() (names []string, err error) {
	s, err := h.Begin()
	if err != nil {
		return nil, err
	}
	networks, err := s.Networks()
	for _, n := range networks {
		if !slices.Contains(n.Planes(), network.DiscoveryGossip) {
			continue
		}
		for _, r := range n.Endpoints {
			names = append(names, r.ContainerName+" on "+n.Name)
		}
	}
	return names, errors.Join(err, s.Close())
}

// Hosts implements hostsetup.KeyHost.
func (localHost) Hosts() ([]agentapi.HostStatus, error) { return agentapi.Hosts(agentapi.SocketPath) }

// AskHost implements hostsetup.KeyHost.
func (localHost) AskHost(id string, r agentapi.Request) (agentapi.Response, error) {
	return agentapi.AskHost(agentapi.SocketPath, id, r)
}

// Networks implements ctl.ClusterHost.
func (h localHost) Networks() (ctl.KnownNetworks, error) {
	answers, err := agentapi.AskAll(agentapi.SocketPath, agentapi.Request{Verb: agentapi.VerbNetworks})
	if err != nil {
		return ctl.KnownNetworks{}, err
	}
	return sortDefinitions(answers), nil
}

// usesEtcd tells whether this host's agent has an etcd. What is wrong with its configuration it says itself.
func (h localHost) usesEtcd() bool {
	c, err := h.AgentConfig()
	return err == nil && len(c.Etcd.Endpoints) > 0
}

// Definitions implements ctl.NetworkSource.
func (h localHost) Definitions() ([]definition.Listed, error) {
	if !h.usesEtcd() {
		return nil, nil
	}
	if err := h.CheckRoot(); err != nil { // who may start the agent
		return nil, err
	}
	return agentapi.AskOrStart[[]definition.Listed](h.agent, agentapi.Request{Verb: agentapi.VerbDefinitions})
}

// RetireNetwork implements ctl.NetworkChanger.
func (h localHost) RetireNetwork(name string) (definition.Retirement, error) {
	if !h.usesEtcd() {
		return definition.Retirement{}, nil
	}
	return agentapi.AskOrStart[definition.Retirement](h.agent,
		agentapi.Request{Verb: agentapi.VerbRetire, Network: name})
}

// sortDefinitions returns this host's definitions and the others'. One host whose definitions cannot
// be used does not hide those of all others.
func sortDefinitions(answers []agentapi.HostAnswer) (known ctl.KnownNetworks) {
	for _, a := range answers {
		if errors.Is(a.Err, agentapi.ErrCannotBeAsked) {
			continue // what it has is in etcd
		}
		if !a.Host.Self {
			known.Hosts++
		}
		definitions, err := readDefinitions(a.Response)
		switch {
		case a.Err != nil:
			known.Unknown = append(known.Unknown, a.Err.Error())
			continue
		case err != nil:
			known.Unknown = append(known.Unknown, fmt.Sprintf("networks of host %s: %v", a.Host.Name, err))
			continue
		}
		for _, d := range definitions {
			if d.Label = a.Host.Name; a.Host.Self {
				known.Here = append(known.Here, d)
			} else {
				known.Others = append(known.Others, d)
			}
		}
	}
	return known
}

// NetworkDriver implements ctl.ClusterHost.
func (h localHost) NetworkDriver(name string) (string, error) {
	f, err := podmannet.Named(h.NetworksDir, name)
	return f.Driver, err
}

// readDefinitions refuses all of a host if one cannot be right.
func readDefinitions(r agentapi.Response) ([]adopt.Definition, error) {
	definitions, err := agentapi.ReadData[[]adopt.Definition](r)
	if err != nil {
		return nil, err
	}
	for _, d := range definitions {
		if err := d.Check(); err != nil {
			return nil, err
		}
	}
	return definitions, nil
}

// CreateNetwork implements ctl.ClusterHost.
func (localHost) CreateNetwork(args []string, out io.Writer) error {
	cmd := exec.Command("podman", args...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd.Run()
}
