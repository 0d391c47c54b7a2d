package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/clusterkey"
)

// Config is the agent's configuration. What reads or parses one sets the defaults.
type Config struct {
	Bind        netip.Addr       // this host's address for other agents; invalid: each network's local_ip
	Port        uint16           // UDP and TCP
	KeyFile     string           // the file with the keys; "": none
	Cluster     string           // label; hosts with another one are refused
	Seeds       []netip.AddrPort // hosts to join, besides the networks' remote_ips
	ForgetAfter time.Duration
	LogLevel    slog.Level
	Upstreams   []netip.AddrPort // name servers; none: the host's
	// KeepRunning: the agent runs and talks to other hosts also while this host has no network.
	KeepRunning bool
	// JoinPort is the TCP port on which hosts with a token are let in.
	JoinPort uint16
	// RotateKeys: other hosts of the cluster may change the key file.
	RotateKeys bool
	// EBPF: packets between containers of two hosts pass by eBPF programs, where the kernel can.
	EBPF bool
	// EncryptionRotateAfter is how old the keys of encrypted networks become; 0: as old as the machine's uptime.
	EncryptionRotateAfter time.Duration
	Metrics               Endpoint // where metrics are served; zero: nowhere
	// AllowUsers are users of this host, by name or number, whose processes may send VXLAN packets and
	// talk to agents. Root always may.
	AllowUsers []string
	// Etcd is how the agent talks to etcd, for networks with discovery=etcd.
	Etcd Etcd
}

// rawConfig is the configuration as the administrator typed it.
type rawConfig struct {
	Bind        string   `toml:"bind"`
	Port        int      `toml:"port"`
	KeyFile     string   `toml:"key_file"`
	Cluster     string   `toml:"cluster"`
	Seeds       []string `toml:"seeds"`
	ForgetAfter string   `toml:"forget_after"`
	LogLevel    string   `toml:"log_level"`
	Upstreams   []string `toml:"dns_upstreams"`
	Metrics     string   `toml:"metrics"`
	KeepRunning bool     `toml:"keep_running"`
	JoinPort    int      `toml:"join_port"`
	RotateKeys  bool     `toml:"rotate_keys"`
	EBPF        bool     `toml:"ebpf"`

	EncryptionRotateAfter string `toml:"encryption_rotate_after"`
	AllowUsers            []any  `toml:"allow_users"`

	Etcd rawEtcd `toml:"etcd"`
}

const (
	// DefaultCluster is the label of hosts whose configuration has none.
	DefaultCluster = "vxlan"
	// DefaultRotateAfter is how old keys of encrypted networks become.
	DefaultRotateAfter = 30 * 24 * time.Hour
	// DefaultJoinPort is enrol.DefaultPort.
	DefaultJoinPort = 7949
	dnsPort         = 53
)

// Parse parses the text of a configuration file and checks its key file. It returns all problems at
// once.
func Parse(text string) (Config, error) { return Texts{Main: text}.Parse() }

// ParseSettings is Parse without the keys and the users.
func ParseSettings(text string) (Config, error) { return Texts{Main: text}.ParseSettings() }

// Parse parses the settings, and checks the key file and the users that they name.
func (t Texts) Parse() (Config, error) {
	c, err := t.ParseSettings()
	_, usersErr := c.AllowedUserIDs()
	err = errors.Join(err, usersErr, c.Etcd.checkFiles())
	if c.KeyFile != "" {
		if _, keyErr := clusterkey.Load(c.KeyFile); keyErr != nil {
			err = errors.Join(err, fmt.Errorf("key_file: %w", keyErr))
		}
	}
	return c, err
}

// ParseSettings is Parse without the keys and the users.
func (t Texts) ParseSettings() (Config, error) {
	f := rawConfig{Port: gossip.DefaultPort, JoinPort: DefaultJoinPort, RotateKeys: true, EBPF: true}
	clusterErr := inClusterFile(f.decode(t.Cluster))
	unknown := f.decode(t.Main) // what it sets takes the place of what the cluster's file has set
	if _, isSyntax := errors.AsType[syntaxError](unknown); isSyntax || clusterErr != nil {
		return Config{}, errors.Join(clusterErr, unknown)
	}
	c := Config{
		Port: gossip.DefaultPort, JoinPort: DefaultJoinPort, KeyFile: f.KeyFile, Cluster: DefaultCluster,
		ForgetAfter: gossip.DefaultForgetAfter,
		KeepRunning: f.KeepRunning, RotateKeys: f.RotateKeys, EBPF: f.EBPF,
		EncryptionRotateAfter: DefaultRotateAfter,
	}
	var etcdErr error
	c.Etcd, etcdErr = f.Etcd.parse()
	errs := []error{unknown, f.parseAddresses(&c), f.parseOthers(&c), etcdErr}
	if f.KeyFile != "" && !filepath.IsAbs(f.KeyFile) {
		errs = append(errs, fmt.Errorf("key_file %q: must be an absolute path", f.KeyFile))
	}
	if f.KeyFile == "" && c.Bind.IsValid() {
		// The firewall keeps containers from the agents' port on the VTEPs' addresses only, and
		// without a key any container that reached another address could join.
		errs = append(errs,
			fmt.Errorf("bind %q: needs a key_file; without a key agents talk by each network's local_ip", f.Bind))
	}
	if f.KeyFile == "" && c.KeepRunning {
		errs = append(errs,
			errors.New("keep_running: needs a key_file; without a key hosts know each other by the networks' lists"))
	}
	return c, errors.Join(errs...)
}

// syntaxError is that of a text that is no TOML, or has a value of another type.
type syntaxError struct{ error }

// decode takes over what a text says, and leaves the rest. It returns all unknown settings.
func (f *rawConfig) decode(text string) error {
	meta, err := toml.Decode(text, f)
	if err != nil {
		return syntaxError{explainSyntax(text, err)}
	}
	var errs []error
	// The library takes a name in any case. What shows settings and adds them does not.
	for _, key := range meta.Keys() {
		if _, known := examples[key.String()]; known {
			continue
		}
		if meta.Type(key...) == "Hash" {
			errs = append(errs, fmt.Errorf("[%s]: is unknown; the only section is [etcd]", key))
			continue
		}
		if len(key) > 1 && key[0] == "etcd" {
			errs = append(errs, fmt.Errorf("%s: is unknown; the settings of [etcd] are endpoints, ca, cert, key, user, "+
				"password_file, prefix, dial_timeout, request_timeout, lease and vni_range", key))
			continue
		}
		errs = append(errs,
			fmt.Errorf("%s: is unknown; the settings are bind, port, key_file, cluster, seeds, forget_after, log_level, "+
				"dns_upstreams, metrics, keep_running, join_port, rotate_keys, ebpf, encryption_rotate_after and "+
				"allow_users", key))
	}
	return errors.Join(errs...)
}

// examples are the settings as they are written in the file.
var examples = map[string]string{
	"bind":                    `bind = "192.168.1.10"`,
	"port":                    `port = 7947`,
	"key_file":                `key_file = "/etc/vxlan/key"`,
	"cluster":                 `cluster = "vxlan"`,
	"seeds":                   `seeds = ["192.168.1.10", "192.168.1.11"]`,
	"forget_after":            `forget_after = "24h"`,
	"log_level":               `log_level = "info"`,
	"dns_upstreams":           `dns_upstreams = ["192.168.1.1"]`,
	"keep_running":            `keep_running = true`,
	"join_port":               `join_port = 7949`,
	"rotate_keys":             `rotate_keys = true`,
	"ebpf":                    `ebpf = true`,
	"encryption_rotate_after": `encryption_rotate_after = "720h"`,
	"metrics":                 `metrics = "127.0.0.1:7948"`,
	"allow_users":             `allow_users = ["nobody", 1000]`,
	"etcd":                    "[etcd]",
	"etcd.endpoints":          `endpoints = ["https://192.168.1.10:2379"]`,
	"etcd.ca":                 `ca = "/etc/vxlan/etcd/ca.crt"`,
	"etcd.cert":               `cert = "/etc/vxlan/etcd/host.crt"`,
	"etcd.key":                `key = "/etc/vxlan/etcd/host.key"`,
	"etcd.user":               `user = "vxlan"`,
	"etcd.password_file":      `password_file = "/etc/vxlan/etcd/password"`,
	"etcd.prefix":             `prefix = "/vxlan"`,
	"etcd.dial_timeout":       `dial_timeout = "2s"`,
	"etcd.request_timeout":    `request_timeout = "3.5s"`,
	"etcd.lease":              `lease = "15s"`,
	"etcd.vni_range":          `vni_range = "10000-19999"`,
}

// explainSyntax says what to write where the file is not TOML, or a value not of the setting's
// type. The parser's errors are of several types, and say the same in their text.
func explainSyntax(text string, err error) error {
	message := strings.TrimPrefix(err.Error(), "toml: ")
	var number int
	if _, scanErr := fmt.Sscanf(message, "line %d", &number); scanErr != nil {
		return err
	}
	_, message, _ = strings.Cut(message, ": ")
	lines := strings.Split(text, "\n")
	line := strings.TrimSpace(lines[min(max(number, 1), len(lines))-1])
	key := line
	if end := strings.IndexAny(line, "=:"); end >= 0 {
		key = strings.TrimSpace(line[:end])
	}
	example, ok := examples[key]
	if !ok {
		example, ok = examples["etcd."+key]
	}
	if !ok {
		return fmt.Errorf("line %d, %s: %s; write settings as in %s", number, line, message, examples["forget_after"])
	}
	return fmt.Errorf("line %d, %s: %s; write it as in %s", number, line, message, example)
}

// parseAddresses parses the addresses and ports.
func (f rawConfig) parseAddresses(c *Config) error {
	var errs []error
	if f.Port < 1 || f.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: must be from 1 to 65535", f.Port))
	} else {
		c.Port = uint16(f.Port)
	}
	if f.JoinPort < 1 || f.JoinPort > 65535 || f.JoinPort == f.Port {
		errs = append(errs, fmt.Errorf("join_port %d: must be from 1 to 65535, and another one than port", f.JoinPort))
	} else {
		c.JoinPort = uint16(f.JoinPort)
	}
	if f.Bind != "" {
		addr, err := netip.ParseAddr(f.Bind)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() || addr.Zone() != "" {
			errs = append(errs, fmt.Errorf("bind %q: must be one address of this host, without a zone", f.Bind))
		}
		c.Bind = addr
	}
	var err error
	c.Seeds, err = parseAddrPorts("seeds", f.Seeds, c.Port)
	errs = append(errs, err)
	for _, seed := range c.Seeds {
		if seed.Addr().Zone() != "" {
			errs = append(errs, fmt.Errorf("seeds %q: must be without a zone", seed.Addr()))
		}
	}
	c.Upstreams, err = parseAddrPorts("dns_upstreams", f.Upstreams, dnsPort)
	return errors.Join(append(errs, err)...)
}

// parseOthers parses the settings that are not addresses.
func (f rawConfig) parseOthers(c *Config) error {
	var errs []error
	if f.Cluster != "" {
		c.Cluster = f.Cluster
	}
	if len(c.Cluster) > maxCluster {
		errs = append(errs, fmt.Errorf("cluster: has %d bytes, at most %d are allowed", len(c.Cluster), maxCluster))
	}
	if f.ForgetAfter != "" {
		d, err := time.ParseDuration(f.ForgetAfter)
		if err != nil || d < time.Minute || d > maxForgetAfter {
			errs = append(errs, fmt.Errorf(`forget_after %q: must be from 1m to 87600h, such as "24h"`, f.ForgetAfter))
		}
		c.ForgetAfter = d
	}
	if f.EncryptionRotateAfter != "" {
		d, err := time.ParseDuration(f.EncryptionRotateAfter)
		if err != nil || d != 0 && (d < minRotateAfter || d > maxForgetAfter) {
			errs = append(errs, fmt.Errorf(`encryption_rotate_after %q: must be from 10m to 87600h, such as "720h", or "0"`,
				f.EncryptionRotateAfter))
		}
		c.EncryptionRotateAfter = d
	}
	if f.LogLevel != "" {
		if err := c.LogLevel.UnmarshalText([]byte(f.LogLevel)); err != nil {
			errs = append(errs, fmt.Errorf("log_level %q: must be debug, info, warn or error", f.LogLevel))
		}
	}
	var err error
	if c.Metrics, err = parseEndpoint(f.Metrics, c.Port, c.JoinPort); err != nil {
		errs = append(errs, fmt.Errorf("metrics %q: %w", f.Metrics, err))
	}
	c.AllowUsers, err = parseUsers(f.AllowUsers)
	errs = append(errs, err)
	return errors.Join(errs...)
}

// These limits are those of package gossip, or stricter.
const (
	maxCluster     = 64
	maxForgetAfter = 87600 * time.Hour
	// minRotateAfter is far above what a rotation takes, which waits for each host.
	minRotateAfter = 10 * time.Minute
)

// parseAddrPorts parses addresses with or without a port.
func parseAddrPorts(key string, typed []string, port uint16) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	var errs []error
	for _, s := range typed {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			var addr netip.Addr
			addr, err = netip.ParseAddr(s)
			ap = netip.AddrPortFrom(addr, port)
		}
		if err != nil || ap.Port() == 0 || ap.Addr().IsUnspecified() || ap.Addr().IsMulticast() {
			errs = append(errs, fmt.Errorf("%s %q: must be an address, or ADDRESS:PORT ([ADDRESS]:PORT for IPv6)", key, s))
			continue
		}
		// Hosts are told apart by the source address of their packets, which is never a mapped one.
		all = append(all, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	}
	return all, errors.Join(errs...)
}
