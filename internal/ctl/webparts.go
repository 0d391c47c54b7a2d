package ctl

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/topology"
	"vxlan-driver/internal/web"
)

const (
	// webInterval is how often this host's agent is asked for what it has at hand.
	webInterval = 2 * time.Second
	// webClusterInterval is how often all hosts are asked, and the picture is drawn.
	webClusterInterval = 10 * time.Second
	// maxWebHosts are so many that their answers take little. Beyond, there are the commands.
	maxWebHosts = 100
	// maxWebRows bounds a table. Rows with a fault come first.
	maxWebRows   = 200
	maxWebEvents = 100
)

// webPage reads the parts of the page.
type webPage struct {
	host            WebHost
	version         string
	interval        time.Duration // webInterval, but in tests
	clusterInterval time.Duration

	events recentEvents // is used by readEvents only
}

func newWebPage(host WebHost, version string) *webPage {
	return &webPage{
		host: host, version: version, interval: webInterval, clusterInterval: webClusterInterval,
		events: newRecentEvents(host, maxWebEvents),
	}
}

// parts are what a command each shows. Its JSON is served beside the page.
func (p *webPage) parts() []web.Part {
	const asking, askingAll = "asking the agent", "asking the agents of all hosts"
	return []web.Part{
		{Every: p.interval, Read: p.readHost, Sections: []web.Section{
			{ID: "summary", Title: "Summary", Lead: asking}, {ID: "findings", Title: "What is wrong", Lead: asking},
			{ID: "networks", Title: "Networks", Lead: asking}, {ID: "peers", Title: "Other hosts", Lead: asking},
		}},
		{Every: p.interval, Read: p.readEvents, Sections: []web.Section{{ID: "events", Title: "Events", Lead: asking}}},
		{Every: p.clusterInterval, Read: p.readCluster, Sections: []web.Section{
			{ID: "hosts", Title: "All hosts, as they see themselves", Lead: askingAll}, {ID: "mesh", Title: "Ways between hosts", Lead: askingAll},
		}},
		{Every: p.clusterInterval, Read: p.readTopology, Sections: []web.Section{{ID: "topology", Title: "Topology", Lead: asking}}},
	}
}

// readHost is what `vxlanctl status` shows.
func (p *webPage) readHost() web.Content {
	v := statusOrUnknown(p.host, p.version)
	summary := web.Section{ID: "summary", Title: "Summary", Level: v.Level.String(), Lead: v.Summary, Announced: true}
	if v.Running {
		summary.Foot = "vxland " + v.Version + ", "
	}
	summary.Foot += "as of " + time.Now().Format(time.TimeOnly)
	findings := web.Section{ID: "findings", Title: "What is wrong", Notices: notices(v.Findings)}
	if len(v.Findings) == 0 {
		findings.Lead = "nothing that this host knows of"
	}
	return web.Content{
		Sections: []web.Section{summary, findings, networksSection(v), peersSection(v)},
		Files:    []web.File{jsonFile("status", v)},
	}
}

func networksSection(v statusView) web.Section {
	s := web.Section{ID: "networks", Title: "Networks", Lead: "no container of this host uses a VXLAN network"}
	if len(v.Networks) > 0 {
		s.Lead, s.Table = "", webTable(v.networkTable(), func(n agentapi.NetworkStatus) diagnosis.Level {
			if v.Running && n.Reachable < n.Members {
				return diagnosis.Warning
			}
			return diagnosis.OK
		})
	}
	return s
}

func peersSection(v statusView) web.Section {
	s := web.Section{ID: "peers", Title: "Other hosts", Lead: "no other host is known"}
	if !v.Running {
		s.Lead = "only the agent (vxland) knows other hosts, and it does not run"
	}
	rows := peersOf(v.Clusters)
	for i := range rows {
		rows[i].name = cmp.Or(rows[i].name, rows[i].addr) // a row is called by something
	}
	slices.SortStableFunc(rows, func(a, b peerRow) int { return cmp.Compare(a.rank(), b.rank()) })
	if len(rows) > 0 {
		s.Lead, rows, s.Foot = "", bounded(rows), boundedNote(len(rows), "vxlanctl host ls")
		s.Table = webTable(output.Listing[peerRow]{Columns: peerColumns, Rows: rows}, peerRow.level)
	}
	return s
}

// level is how bad the state of a host is.
func (r peerRow) level() diagnosis.Level {
	return [...]diagnosis.Level{diagnosis.Failure, diagnosis.Warning, diagnosis.OK, diagnosis.Unknown}[r.rank()]
}

// readEvents is what `vxlanctl events` shows, the newest first.
func (p *webPage) readEvents() web.Content {
	newest, err := p.events.newest()
	s := web.Section{ID: "events", Title: "Events"}
	switch {
	case err != nil:
		s.Level, s.Lead = diagnosis.Unknown.String(), err.Error()
	case len(newest) == 0:
		s.Lead = "nothing has happened since the agent started"
	}
	if len(newest) > 0 {
		s.Table = webTable(output.Listing[HostEvent]{Columns: eventColumns, Rows: newest}, nil)
	}
	lines := func() ([]byte, error) { return eventLines(newest) }
	return web.Content{Sections: []web.Section{s}, Files: []web.File{{Path: "/json/events", Type: web.TypeJSON, Data: lines}}}
}

// eventLines are events as JSON, a line each, the oldest first.
func eventLines(newest []HostEvent) ([]byte, error) {
	var b bytes.Buffer
	for _, e := range slices.Backward(newest) {
		line, err := output.Document(e, true)
		if err != nil {
			return nil, err
		}
		b.Write(line)
	}
	return b.Bytes(), nil
}

// readCluster is what `vxlanctl status --all` and `vxlanctl mesh` show.
func (p *webPage) readCluster() web.Content {
	hosts := web.Section{ID: "hosts", Title: "All hosts, as they see themselves"}
	mesh := web.Section{ID: "mesh", Title: "Ways between hosts"}
	answers, err := p.askAll()
	if err != nil {
		hosts.Lead, hosts.Level = err.Error(), diagnosis.Unknown.String()
		mesh.Lead, mesh.Level = hosts.Lead, hosts.Level
		return web.Content{Sections: []web.Section{hosts, mesh}, Files: []web.File{missingFile("hosts", err), missingFile("mesh", err)}}
	}
	v := newAllStatusView(answers)
	hosts.Lead, hosts.Level = v.Summary, v.Level.String()
	hosts.Table = webTable(output.Listing[hostStatusRow]{Columns: hostStatusColumns, Rows: v.Hosts}, func(r hostStatusRow) diagnosis.Level { return r.Level })
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
	return web.Content{Sections: []web.Section{hosts, mesh}, Files: []web.File{jsonFile("hosts", v), jsonFile("mesh", listing.Object())}}
}

// errManyHosts leaves a large cluster to the commands.
var errManyHosts = fmt.Errorf("more than %d hosts are too many to be asked all the time; type vxlanctl status --all, or vxlanctl mesh", maxWebHosts)

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
	slices.SortStableFunc(rows, func(a, b meshRow) int { return cmp.Compare(meshLevel(b), meshLevel(a)) })
	s.Lead, s.Level = "frames pass between all hosts, as far as they were asked", diagnosis.OK.String()
	switch {
	case len(rows) == 0:
		s.Lead, s.Level = "no tunnel has been tested", ""
	case faulty > 0:
		s.Lead, s.Level = output.Count(faulty, "direction")+" not in order", diagnosis.Warning.String()
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

// readTopology is what `vxlanctl topology` draws.
func (p *webPage) readTopology() web.Content {
	s := web.Section{ID: "topology", Title: "Topology"}
	drawn, alone, err := readTopology(p.host)
	if err != nil {
		s.Lead, s.Level = err.Error(), diagnosis.Unknown.String()
		return web.Content{Sections: []web.Section{s}, Files: []web.File{missingFile("topology", err)}}
	}
	if alone {
		s.Lead, s.Level = aloneNote, diagnosis.Unknown.String()
	}
	boxes := 0
	for _, n := range drawn.Networks {
		boxes += len(n.Hosts)
	}
	content := web.Content{Files: []web.File{jsonFile("topology", drawn)}}
	switch {
	case boxes == 0:
		s.Lead = "no VXLAN network has a container on this host"
	case boxes > maxWebRows:
		s.Lead = fmt.Sprintf("%d boxes are too many for a screen; type vxlanctl topology --format svg > topology.svg", boxes)
	default:
		svg := []byte(drawn.SVG())
		// Another picture has another address, so that the browser loads it.
		s.Picture = &web.Picture{Path: fmt.Sprintf("/topology.svg?%08x", pictureSum(svg)), Alt: pictureText(drawn)}
		content.Files = append(content.Files, web.File{Path: "/topology.svg", Type: web.TypeSVG, Data: func() ([]byte, error) { return svg, nil }})
	}
	content.Sections = []web.Section{s}
	return content
}

// pictureText says what the picture shows, for whoever does not see it.
func pictureText(t topology.Topology) string {
	text := "networks with their hosts: "
	for i, n := range t.Networks {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s has %s and %s", n.Name, output.Count(len(n.Hosts), "host"), output.Count(n.Containers, "container"))
	}
	return text + ". The tables say the same in words."
}
