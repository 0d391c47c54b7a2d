package main

import (
	"log/slog"
	"path/filepath"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hostid"
	"vxlan-driver/internal/hoststate"
)

// newEtcd makes the plane of networks with discovery=etcd.
func newEtcd(host *hoststate.Host, h *gossip.LocalHost, c config.Etcd, log *slog.Logger) (*etcd.Plane, error) {
	settings := etcdConfig(h, c, log)
	settings.Networks = func() []string { return networksByEtcd(host, log) }
	return etcd.New(settings)
}

// networksByEtcd names the networks of this host's Podman that hosts define once in etcd.
func networksByEtcd(host *hoststate.Host, log *slog.Logger) (names []string) {
	configs, err := host.NetworkConfigs()
	if err != nil {
		log.Warn("cannot read this host's networks", "err", err)
	}
	for _, config := range configs {
		if d, ok := adopt.Read(config); ok && d.UsesEtcd() {
			names = append(names, d.Name)
		}
	}
	return names
}

// openDefinitions returns what connects to the networks that are defined in etcd.
func openDefinitions(h *gossip.LocalHost, c config.Etcd, log *slog.Logger) func() (cluster.Definitions, error) {
	if len(c.Endpoints) == 0 {
		return nil
	}
	return func() (cluster.Definitions, error) { return etcd.OpenDefinitions(etcdConfig(h, c, log)) }
}

// etcdConfig is how this host talks to etcd.
func etcdConfig(h *gossip.LocalHost, c config.Etcd, log *slog.Logger) etcd.Config {
	return etcd.Config{
		HostID: h.ID, HostName: h.Name, Endpoints: c.Endpoints, CA: c.CA, Cert: c.Cert, Key: c.Key,
		User: c.User, PasswordFile: c.PasswordFile, Prefix: c.Prefix,
		DialTimeout: c.DialTimeout, RequestTimeout: c.RequestTimeout, Lease: c.Lease, Log: log,
		MarkFile: filepath.Join(hostid.Dir, "etcd-revision"),
	}
}
