package ctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/definition"
)

// findDefined returns the network that etcd has by a name.
func findDefined(all []definition.Listed, name string) (definition.Listed, bool) {
	i := slices.IndexFunc(all, func(l definition.Listed) bool { return l.Definition.Name == name })
	if i < 0 {
		return definition.Listed{}, false
	}
	return all[i], true
}

// withoutDefined leaves out what other hosts tell of networks that are in etcd, which knows better.
func withoutDefined(others []adopt.Definition, inEtcd []definition.Listed) []adopt.Definition {
	return slices.DeleteFunc(slices.Clone(others), func(d adopt.Definition) bool {
		_, isDefined := findDefined(inEtcd, d.Name)
		return isDefined && d.IsEtcd()
	})
}

// contradictEtcd returns which networks this host has otherwise than they are defined.
func contradictEtcd(here []adopt.Definition, inEtcd []definition.Listed) (all []adopt.Contradiction) {
	for _, h := range here {
		l, ok := findDefined(inEtcd, h.Name)
		if !ok || l.Problem != "" || !h.IsEtcd() {
			continue
		}
		var texts []string
		c := adopt.Contradiction{Network: h.Name}
		for _, d := range l.Definition.Contradictions(h.Shared()) {
			texts = append(texts, d.Text("here", "in etcd"))
			c.MTU = c.MTU || d.What == "mtu"
		}
		if c.Text = strings.Join(texts, "; "); c.Text != "" {
			all = append(all, c)
		}
	}
	return all
}

// addDefined adds what etcd has to the rows: who has a network, and networks that are not here.
func addDefined(rows []networkRow, inEtcd []definition.Listed) (all []networkRow, notes []string) {
	for _, l := range inEtcd {
		d := l.Definition
		i := slices.IndexFunc(rows, func(r networkRow) bool {
			return r.Name == d.Name && (r.VNI == d.VNI() && r.Port == d.Port() || l.Problem != "")
		})
		if i < 0 {
			i = len(rows)
			row := networkRow{Name: d.Name, VNI: d.VNI(), Port: d.Port(), Subnets: []string{}, State: networkNotHere,
				Encryption: encryptionOf(d.Options)}
			for _, s := range d.Subnets {
				row.Subnets = append(row.Subnets, s.Prefix)
			}
			rows = append(rows, row)
			if l.Problem == "" {
				notes = append(notes, fmt.Sprintf("network %s is defined in etcd, and not here; to create it here: "+
					"vxlanctl network adopt %[1]s", d.Name))
			}
		}
		if l.Problem != "" {
			notes = append(notes, l.Problem)
		}
		rows[i].on = append(rows[i].on, otherUsers(l.Hosts, rows[i].on)...)
	}
	return rows, notes
}

// otherUsers names the other hosts that have created a network and are not known by a longer name.
func otherUsers(uses []cluster.DefinitionUse, known []string) (names []string) {
	for _, u := range uses {
		isKnown := slices.ContainsFunc(known, func(label string) bool {
			return label == u.Host || strings.HasPrefix(label, u.Host+" (")
		})
		if !u.Self && !isKnown {
			names = append(names, u.Host)
		}
	}
	return names
}

// planDefined finds how a network that is defined in etcd is created here.
func (a adoption) planDefined(host Host, known KnownNetworks, l definition.Listed) (p plannedAdoption, err error) {
	d := l.Definition
	p.name, d.Host = d.Name, "etcd"
	if l.Problem != "" {
		return p, errors.New(l.Problem)
	}
	i := slices.IndexFunc(known.Here, func(h adopt.Definition) bool { return h.Name == d.Name && h.IsEtcd() })
	if i >= 0 {
		var lines []string
		for _, c := range d.Contradictions(known.Here[i].Shared()) {
			lines = append(lines, "\n  "+c.Text("here", "in etcd"))
		}
		if len(lines) > 0 {
			err = fmt.Errorf("network %s: this host has it otherwise than it is defined:%s", d.Name, strings.Join(lines, ""))
		}
		return p, err
	}
	if exists, notes, err := adopt.Conflict(known.Here, d); err != nil || exists {
		p.notes = notes
		return p, err
	}
	p.args = d.EtcdCommand(a.own)
	return p, p.checkName(host, d)
}
