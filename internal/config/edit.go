package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
)

// Membership is what a host's configuration must say for it to be a member of a cluster.
type Membership struct {
	KeyFile string
	Cluster string
	Port    uint16
	Seeds   []netip.AddrPort
}

// clusterFileHead begins the cluster's file.
const clusterFileHead = `# What "vxlanctl init" or "vxlanctl join" has set; "vxlanctl leave" removes this file. Settings in
# vxland.toml take precedence.
`

// Complete adds to the cluster's file what a member's configuration must say and does not. What the
// administrator wrote stays as it is: where it contradicts, the error shows both. It returns the
// file's text and what was added.
func (m Membership) Complete(t Texts) (clusterText string, added []string, err error) {
	have, err := t.ParseSettings()
	if err != nil {
		return "", nil, err
	}
	typed, inMain := typedSettings(t.Cluster), typedSettings(t.Main)
	maps.Copy(typed, inMain)
	var errs []error
	add := func(key, value string, isDefault, same bool) {
		switch has, given := typed[key]; {
		case given && !same:
			file := ClusterPath
			if _, ok := inMain[key]; ok {
				file = Path
			}
			errs = append(errs, fmt.Errorf("%s: %s has %v, and the cluster needs %s", key, file, has, value))
		case !given && !isDefault:
			added = append(added, key+" = "+value)
		}
	}
	add("key_file", strconv.Quote(m.KeyFile), false, have.KeyFile == m.KeyFile)
	add("cluster", strconv.Quote(m.Cluster), m.Cluster == DefaultCluster, have.Cluster == m.Cluster)
	add("port", fmt.Sprint(m.Port), m.Port == have.Port, m.Port == have.Port)
	add("seeds", formatSeeds(m.Seeds, m.Port), len(m.Seeds) == 0, true) // a user knows better whom to ask
	add("keep_running", "true", false, true)
	if err := errors.Join(errs...); err != nil {
		return "", nil, err
	}
	if len(added) == 0 {
		return t.Cluster, nil, nil
	}
	text := t.Cluster
	switch {
	case text == "":
		text = clusterFileHead
	case !strings.HasSuffix(text, "\n"):
		text += "\n"
	}
	return text + strings.Join(added, "\n") + "\n", added, nil
}

// formatSeeds leaves the usual port out.
func formatSeeds(seeds []netip.AddrPort, port uint16) string {
	var all []string
	for _, s := range seeds {
		text := s.String()
		if s.Port() == port {
			text = s.Addr().String()
		}
		all = append(all, strconv.Quote(text))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// earlierMark ends a line that earlier versions wrote into the administrator's file.
const earlierMark = " # by vxlanctl"

// RemoveWritten returns the administrator's file without the lines that earlier versions wrote.
func RemoveWritten(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(strings.TrimRight(line, "\r\n"), earlierMark) {
			b.WriteString(line)
		}
	}
	return b.String()
}
