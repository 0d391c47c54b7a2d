package ctl

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
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
			{ID: "hosts", Title: "All hosts, as they see themselves", Lead: askingAll},
			{ID: "mesh", Title: "Ways between hosts", Lead: askingAll},
		}},
		{Every: p.clusterInterval, Read: p.readTopology, Sections: []web.Section{
			{ID: "topology", Title: "Topology", Lead: asking},
		}},
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
	file := web.File{Path: "/json/events", Type: web.TypeJSON, Data: lines}
	return web.Content{Sections: []web.Section{s}, Files: []web.File{file}}
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
		content.Files = append(content.Files, web.File{
			Path: "/topology.svg", Type: web.TypeSVG, Data: func() ([]byte, error) { return svg, nil },
		})
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
		text += fmt.Sprintf("%s has %s and %s", n.Name, output.Count(len(n.Hosts), "host"),
			output.Count(n.Containers, "container"))
	}
	return text + ". The tables say the same in words."
}
