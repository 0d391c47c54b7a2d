package survey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/regfile"
)

// noteInspectError leaves out what says only that a network has no place: its underlay is looked at.
func (c *collector) noteInspectError(networks []hoststate.Network, err error) {
	if strings.Contains(err.Error(), "the name is held by") {
		return // see intruders
	}
	e, isOfNetwork := errors.AsType[hoststate.NetworkError](err)
	isUnplaceable := func(n hoststate.Network) bool { return n.ID == e.NetworkID && n.Unplaceable() }
	if isOfNetwork && slices.ContainsFunc(networks, isUnplaceable) {
		return
	}
	if d, ok := damageIn(c.on.Host.StoreDir, err); ok {
		if !slices.Contains(c.Damaged, d) {
			c.Damaged = append(c.Damaged, d)
		}
		return
	}
	c.gap("the state of a network", err)
}

var recordPath = regexp.MustCompile(`/networks/([0-9a-f]+)/endpoints/([0-9a-f]+)\.json`)

// damageIn tells whether an error is about a record that is no JSON, as after a full disk or a crash, or
// no file.
func damageIn(dir string, err error) (d doctor.Damage, ok bool) {
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case isSyntax:
		d.Why = syntax.Error()
	case errors.Is(err, regfile.ErrNotRegular):
		d.Why = regfile.ErrNotRegular.Error()
	default:
		return d, false
	}
	if m := recordPath.FindStringSubmatch(err.Error()); m != nil {
		d.Path, d.NetworkID, d.Container = dir+m[0], m[1], m[2]
		return d, true
	}
	if e, isOfNetwork := errors.AsType[hoststate.NetworkError](err); isOfNetwork {
		d.Path, d.NetworkID = filepath.Join(dir, "networks", e.NetworkID), e.NetworkID
	}
	return d, d.NetworkID != ""
}

// definitions reads the networks as Podman has them. Where hosts are listed, a range of addresses is
// what the driver gave this host. Elsewhere a user gave it, and what is read lacks it.
func (c *collector) definitions() {
	configs, err := c.on.Host.NetworkConfigs()
	c.gap("Podman's networks", err)
	for i := range c.Networks {
		n := &c.Networks[i]
		id := []byte(`"` + n.ID + `"`)
		if err == nil && !slices.ContainsFunc(configs, func(config []byte) bool { return bytes.Contains(config, id) }) {
			n.ConfigFile = filepath.Join(c.on.Host.NetworksDir, n.Name+".json")
			n.Kept = filepath.Join(c.on.Host.StoreDir, "networks", n.ID, "network.json")
		}
	}
	for _, config := range configs {
		d, ok := adopt.Read(config)
		i := slices.IndexFunc(c.Networks, func(n doctor.Network) bool { return n.Name == d.Name })
		ofUser := bytes.Contains(config, []byte(`"lease_range"`)) && (d.IsGossip() || d.Options["remote_ips"] == "")
		if i >= 0 && ok {
			c.compareKept(&c.Networks[i], d)
		}
		if ok && i >= 0 && !ofUser {
			c.Networks[i].Definition = &d
		}
	}
}

// compareKept finds out in what Podman's definition of a network differs from the copy by which its
// containers run.
func (c *collector) compareKept(n *doctor.Network, now adopt.Definition) {
	path := filepath.Join(c.on.Host.StoreDir, "networks", n.ID, "network.json")
	text, err := regfile.ReadState(path)
	kept, ok := adopt.Read(text)
	if err != nil || !ok {
		return // see damageIn
	}
	n.Edited = Differences(kept, now)
	if len(n.Edited) > 0 {
		n.ConfigFile, n.Kept = filepath.Join(c.on.Host.NetworksDir, n.Name+".json"), path
	}
}

// Differences are in what one definition of a network differs from another one, as "vni: 102, and not 101".
func Differences(kept, now adopt.Definition) (all []string) {
	names := slices.Sorted(maps.Keys(kept.Options))
	for name := range now.Options {
		if _, known := kept.Options[name]; !known {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if was, is := kept.Options[name], now.Options[name]; was != is {
			all = append(all, fmt.Sprintf("%s: %q, and not %q", name, is, was))
		}
	}
	if !slices.Equal(kept.Subnets, now.Subnets) {
		all = append(all, fmt.Sprintf("subnets: %v, and not %v", now.Subnets, kept.Subnets))
	}
	for _, flag := range []struct {
		name    string
		was, is bool
	}{{"internal", kept.Internal, now.Internal}, {"disable-dns", kept.NoNames, now.NoNames}} {
		if flag.was != flag.is {
			all = append(all, fmt.Sprintf("%s: %v, and not %v", flag.name, flag.is, flag.was))
		}
	}
	return all
}
