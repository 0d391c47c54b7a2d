package hoststate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
)

// ContainersWithAgent counts the containers of networks that need an agent.
func (h *Host) ContainersWithAgent() (n int, err error) {
	s, err := h.Begin()
	if err != nil {
		return 0, err
	}
	networks, err := s.Networks()
	for _, network := range networks {
		if network.NeedsAgent() {
			n += len(network.Endpoints)
		}
	}
	return n, errors.Join(err, s.Close())
}

// CheckUnused returns an error that names the containers which still use the driver's networks.
func (h *Host) CheckUnused() error {
	s, err := h.Begin()
	if err != nil {
		return err
	}
	orphansErr := s.DropOrphans()
	err = errors.Join(orphansErr, s.records.findUnrecorded("", ""))
	ids, listErr := s.records.Networks()
	err = errors.Join(err, listErr)
	for _, id := range ids {
		err = errors.Join(err, s.records.describeUsers(id))
	}
	return errors.Join(err, s.Close())
}

// describeUsers returns an error that names a network's containers, or nil if there are none.
func (r records) describeUsers(networkID string) error {
	name := networkID
	if config, err := r.Config(networkID); err == nil {
		if id, err := network.ParseIdentity(config); err == nil {
			name = id.Name
		}
	}
	var users []string
	for containerID, err := range r.EndpointsExcept(networkID, "") {
		if err != nil {
			return err
		}
		user := fmt.Sprintf("%.12s", containerID)
		if record, err := r.Record(networkID, containerID); err == nil && record.ContainerName != "" {
			user = record.ContainerName
		}
		users = append(users, user)
	}
	if len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	return fmt.Errorf("network %s is used by container %s", name, strings.Join(users, ", "))
}

// Clean removes all that the driver has on the host: containers' interfaces, devices, firewall
// tables, rules and files among others' and the store. It goes on after an error. But while a device
// may be left, the firewall and the store stay. The agent must have ended.
func (h *Host) Clean() error {
	s, err := h.Begin()
	if err != nil {
		return err
	}
	errs := []error{s.disconnectAll()}
	devicesErr := s.deleteDevices()
	errs = append(errs, devicesErr, s.forgetUnusedInDocker(), h.dropAllSysctls())
	if devicesErr == nil {
		errs = append(errs, s.ns.Apply(kernel.DeleteFirewall{}), s.records.RemoveAll())
	}
	return errors.Join(append(errs, s.Close())...)
}

// disconnectAll takes all recorded containers down.
func (s *Session) disconnectAll() error {
	ids, err := s.records.Networks()
	errs := []error{err}
	for _, networkID := range ids {
		config, err := s.records.Config(networkID)
		if err != nil {
			continue // deleteDevices does what can be done
		}
		id, err := network.ParseIdentity(config)
		if err != nil {
			continue
		}
		endpoints, _ := s.records.Records(networkID) // of one that cannot be read, the port goes with the devices
		for _, r := range endpoints {
			errs = append(errs, s.Disconnect(id, r.Endpoint))
		}
		s.forgetBridge(id)
	}
	return errors.Join(errs...)
}

// deleteDevices deletes all devices that are marked as this project's, and their containers' ports.
func (s *Session) deleteDevices() error {
	tunnels, err := s.ns.Tunnels()
	errs := []error{err}
	for _, d := range tunnels {
		if network.IDFromAlias(d.Alias) != "" {
			errs = append(errs, s.deletePorts(d.Master), s.ns.RemoveFastPath(d.Name),
				s.ns.Apply(kernel.DeleteLink{Name: d.Name}))
		}
	}
	links, err := s.ns.UnattachedLinks()
	errs = append(errs, err)
	for _, l := range links {
		container, _ := network.ParseEndpointAlias(l.Alias)
		isBridge := l.Kind == kernel.KindBridge && network.IDFromAlias(l.Alias) != ""
		switch {
		case isBridge:
			errs = append(errs, s.deletePorts(l.Name), s.deleteUnusedBridge(l.Name))
		case container != "", isWireGuard(l):
			errs = append(errs, s.ns.Apply(kernel.DeleteLink{Name: l.Name}))
		}
	}
	return errors.Join(errs...)
}

// isWireGuard tells whether a link is a WireGuard device of one of the driver's networks.
func isWireGuard(l kernel.Link) bool {
	return (l.Kind == kernel.KindWireGuard || l.Kind == kernel.KindTun) && network.IDFromAlias(l.Alias) != ""
}

// deletePorts deletes the containers' ports of a bridge.
func (s *Session) deletePorts(bridge string) error {
	if bridge == "" {
		return nil
	}
	ports, err := s.ns.PortLinks(bridge)
	errs := []error{err}
	for _, p := range ports {
		if container, _ := network.ParseEndpointAlias(p.Alias); container != "" {
			errs = append(errs, s.ns.Apply(kernel.DeleteLink{Name: p.Name}))
		}
	}
	return errors.Join(errs...)
}

// dropAllSysctls removes the files that keepSysctls wrote.
func (h *Host) dropAllSysctls() error {
	if h.SysctlDir == "" {
		return nil
	}
	files, err := filepath.Glob(h.sysctlFile("*"))
	errs := []error{err}
	for _, f := range files {
		errs = append(errs, os.Remove(f))
	}
	return errors.Join(errs...)
}

// PodmanNetworks returns the names of Podman's networks that have this driver.
func (h *Host) PodmanNetworks() (names []string, err error) {
	err = h.eachOwnNetwork(func(_ []byte, id network.Identity) { names = append(names, id.Name) })
	return names, err
}

// eachOwnNetwork calls f with each of Podman's networks that have this driver.
func (h *Host) eachOwnNetwork(f func(config []byte, id network.Identity)) error {
	files, err := filepath.Glob(filepath.Join(h.NetworksDir, "*.json"))
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	for _, path := range files {
		var n struct{ Name, ID, Driver string }
		data, err := regfile.ReadState(path)
		if err == nil && json.Unmarshal(data, &n) == nil && n.Driver == network.Driver {
			f(data, network.Identity{Name: n.Name, ID: n.ID})
		}
	}
	return nil
}

// NetworkConfigs returns the configurations of Podman's networks that have this driver.
func (h *Host) NetworkConfigs() (configs [][]byte, err error) {
	err = h.eachOwnNetwork(func(config []byte, _ network.Identity) { configs = append(configs, config) })
	return configs, err
}
