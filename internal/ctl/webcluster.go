package ctl

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/web"
)

// readCluster is what `vxlanctl status --all` and `vxlanctl mesh` show.
func (p *webPage) readCluster() web.Content {
	hosts := web.Section{ID: "hosts", Title: "All hosts, as they see themselves"}
	mesh := web.Section{ID: "mesh", Title: "Ways between hosts"}
	answers, err := p.askAll()
	if err != nil {
		hosts.Lead, hosts.Level = err.Error(), diagnosis.Unknown.String()
		mesh.Lead, mesh.Level = hosts.Lead, hosts.Level
		return web.Content{
			Sections: []web.Section{hosts, mesh}, Files: []web.File{missingFile("hosts", err), missingFile("mesh", err)},
		}
	}
	v := newAllStatusView(answers)
	hosts.Lead, hosts.Level = v.Summary, v.Level.String()
	table := output.Listing[hostStatusRow]{Columns: hostStatusColumns, Rows: v.Hosts}
	hosts.Table = webTable(table, func(r hostStatusRow) diagnosis.Level { return r.Level })
	for i, row := range v.Hosts {
		if answers[i].Host.Self {
			continue // its findings are above
		}
		for _, n := range notices(row.Findings) {
			n.Text = "host " + row.Host + ": " + n.Text
			hosts.Notices = append(hosts.Notices, n)
		}
	}
	rows, notes := meshOf(answers)
	listing := output.Listing[meshRow]{Key: "directions", Columns: meshColumns, Rows: rows, Notes: notes}
	fillMesh(&mesh, listing)
	return web.Content{
		Sections: []web.Section{hosts, mesh}, Files: []web.File{jsonFile("hosts", v), jsonFile("mesh", listing.Object())},
	}
}

// errManyHosts leaves a large cluster to the commands.
var errManyHosts = fmt.Errorf("more than %d hosts are too many to be asked all the time; "+
	"type vxlanctl status --all, or vxlanctl mesh", maxWebHosts)

func (p *webPage) askAll() ([]agentapi.HostAnswer, error) {
	report, err := p.host.Status()
	if err != nil {
		return nil, err
	}
	known := 0
	for _, c := range report.Clusters {
		known += len(c.Hosts)
	}
	if known > maxWebHosts {
		return nil, errManyHosts
	}
	return p.host.StatusOfAll()
}

// fillMesh shows the directions, those with a fault first.
func fillMesh(s *web.Section, listing output.Listing[meshRow]) {
	rows := slices.Clone(listing.Rows)
	faulty := 0
	for _, r := range rows {
		if r.State != meshOK {
			faulty++
		}
	}
	slices.SortStableFunc(rows, func(a, b meshRow) int { return meshLevel(b).Compare(meshLevel(a)) })
	s.Lead, s.Level = "frames pass between all hosts, as far as they were asked", diagnosis.OK.String()
	switch {
	case len(rows) == 0:
		s.Lead, s.Level = "no tunnel has been tested", ""
	case faulty > 0:
		s.Lead, s.Level = output.Count(faulty, "direction")+" not in order", meshLevel(rows[0]).String()
	}
	s.Foot = strings.Join(listing.Notes, "; ")
	if note := boundedNote(len(rows), "vxlanctl mesh"); note != "" {
		s.Foot = note // as many hosts as that are in the table above
	}
	if listing.Rows = bounded(rows); len(rows) > 0 {
		s.Table = webTable(listing, meshLevel)
	}
}

func meshLevel(r meshRow) diagnosis.Level {
	switch r.State {
	case meshOK:
		return diagnosis.OK
	case meshUnknown:
		return diagnosis.Unknown
	case meshLost:
		return diagnosis.Failure
	}
	return diagnosis.Warning
}
