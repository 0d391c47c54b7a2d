package survey

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
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

// damageIn tells whether an error is about a record that is no JSON, as after a full disk or a crash.
func damageIn(dir string, err error) (d doctor.Damage, ok bool) {
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	if !isSyntax {
		return d, false
	}
	d.Why = syntax.Error()
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
		if ok && i >= 0 && !ofUser {
			c.Networks[i].Definition = &d
		}
	}
}
