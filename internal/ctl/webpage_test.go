package ctl

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// pageHost is a host to which things happen.
type pageHost struct {
	fakeHost
	mu     sync.Mutex
	report agentapi.StatusReport
	events []agentapi.Event
	err    error
}

func newPageHost() *pageHost {
	return &pageHost{report: healthyHost.report, events: []agentapi.Event{event(1, agentapi.EventHostJoined, time.Hour, "host host-b joined")}}
}

func (h *pageHost) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *pageHost) Status() (agentapi.StatusReport, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.report, h.err
}

func (h *pageHost) StatusWithRates() (agentapi.StatusReport, error) { return h.Status() }

func (h *pageHost) Events(r agentapi.EventsRequest) (agentapi.EventsReport, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	report := agentapi.EventsReport{Agent: "x", Host: "host-a"}
	for _, e := range h.events {
		if e.Sequence > r.Since {
			report.Events = append(report.Events, e)
		}
	}
	return report, h.err
}

// current is the rest of the host as it is now.
func (h *pageHost) current() fakeHost {
	_, err := h.Status()
	return fakeHost{err: err}
}

func (h *pageHost) Inventory() (agentapi.Inventory, bool, error) { return h.current().Inventory() }
func (h *pageHost) StatusOfAll() ([]agentapi.HostAnswer, error)  { return h.current().StatusOfAll() }
func (h *pageHost) Name() string                                 { return "host-a" }

// servePage serves a host's page until stop is called, or the test ends.
func servePage(t *testing.T, addr string, host WebHost) (url string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	page := newWebPage(host, "1")
	page.interval, page.clusterInterval = 50*time.Millisecond, 100*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- page.serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return "http://" + l.Addr().String() + "/", stop
}

const liveText = "Live: what happens is shown here."

// TestPageInBrowser looks at the page in a real browser, which is started once.
func TestPageInBrowser(t *testing.T) {
	host := newPageHost()
	url, stop := servePage(t, "127.0.0.1:0", host)
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
	b := startBrowser(t, "--host-resolver-rules=MAP rebound.example 127.0.0.1")
	step := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			b.t = t
			defer func() { b.t = nil }()
			f(t)
		})
	}
	step("shows what there is", func(t *testing.T) {
		b.open(url)
		for _, text := range []string{liveText, "all is well: 1 network", "1.2 kB/s", "host-b", "1h30m", "0.3ms", "host host-b joined", "VX0704 warning: host host-b (198.18.0.2): careful", "vxlanctl explain VX0704"} {
			b.shows(text)
		}
		b.until("document.querySelector('#topology img').naturalWidth > 500")
	})
	step("follows what happens", func(t *testing.T) {
		b.eval("window.loadedOnce = true; document.querySelector('#peers .scroll').focus()", nil)
		host.change(func() {
			host.report, _ = fakeHost{}.Status()
			host.report.Warnings = []string{`<img src=x onerror="document.title='run'">`}
			host.events = append(host.events, event(2, agentapi.EventRepaired, 0, "firewall: rules were missing"))
		})
		for _, text := range []string{
			"VX0303 failure: network blue: frames of 1450 bytes to host b are lost", "frames of 1402 bytes pass", "vxlanctl network set blue mtu=1402",
			"firewall: rules were missing", `<img src=x onerror="document.title='run'">`,
		} {
			b.shows(text)
		}
		b.until("window.loadedOnce && document.activeElement === document.querySelector('#peers .scroll') && document.title === 'VXLAN networks of host-a'")
		b.until("document.querySelector('#events tbody tr').innerText.includes('repaired')") // the newest is the first
	})
	step("is legible in light and dark", func(t *testing.T) {
		for _, scheme := range []string{"light", "dark"} {
			b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
			var faint []string
			b.eval(faintTexts, &faint)
			if len(faint) > 0 {
				t.Errorf("%s: %q", scheme, faint)
			}
		}
		b.until("getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 27)'")
	})
	step("fits a narrow window", func(t *testing.T) {
		b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": false})
		b.until("document.documentElement.scrollWidth <= 360")
		b.do("Emulation.clearDeviceMetricsOverride", nil)
	})
	step("has names for screen readers", func(*testing.T) { checkNames(b) })
	step("is used by keys", func(*testing.T) {
		b.eval("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)", nil)
		b.open(url)
		b.shows(liveText)
		b.press("Tab", 9)
		b.until("document.activeElement.className === 'skip' && document.activeElement.getBoundingClientRect().left >= 0")
		b.press("Enter", 13)
		b.until("location.hash === '#main' && document.activeElement.id === 'main'")
		b.press("Tab", 9)
		b.until("document.activeElement.className === 'scroll' && getComputedStyle(document.activeElement).outlineStyle === 'solid'")
	})
	step("says that the agent has stopped, and goes on with the next", func(*testing.T) {
		host.change(func() { host.err = agentapi.ErrNotRunning })
		b.shows("vxland does not run, and no container needs it")
		b.shows("only the agent (vxland) knows other hosts, and it does not run")
		b.until("document.querySelector('#mesh').innerText.includes('vxland does not run') && !document.querySelector('#peers table')")
		host.change(func() { host.err, host.report = nil, healthyHost.report })
		b.shows("all is well: 1 network")
		b.until("document.querySelectorAll('#peers tbody tr').length === 3 && document.querySelector('#mesh table')")
	})
	if text := b.complaints(); text != "" {
		t.Error(text)
	}
	step("runs and loads nothing but its own", func(t *testing.T) {
		b.eval("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}))", nil)
		b.eval("fetch('http://127.0.0.2:1/').catch(() => {})", nil)
		b.until("window.ran === undefined")
		if text := b.complaints(); !strings.Contains(text, "script-src 'self'") || !strings.Contains(text, "connect-src 'self'") {
			t.Errorf("complained of %s", text)
		}
	})
	step("says that it is not live, and recovers", func(*testing.T) {
		stop()
		b.shows("Not live: ")
		_, stop = servePage(t, addr, host)
		b.shows(liveText)
		b.complaints() // that nobody listened
	})
	step("shows the state once without JavaScript", func(*testing.T) {
		b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
		defer func() { b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": false}) }()
		b.open(url)
		for _, text := range []string{"all is well: 1 network", "1h30m", "host host-b joined", "This is how it was when the page was loaded"} {
			b.shows(text)
		}
		b.until("document.querySelector('#live').innerText === '' && document.querySelector('#topology img').naturalWidth > 500 && !!document.querySelector('#mesh table')")
	})
	step("is not for other names", func(*testing.T) {
		_, port, _ := net.SplitHostPort(addr)
		b.open("http://rebound.example:" + port + "/")
		b.shows("call this page http://127.0.0.1 or http://localhost")
		b.open("http://localhost:" + port + "/")
		b.shows(liveText)
	})
}

// faintTexts returns texts whose contrast is less than 4.5, which WCAG demands of small ones.
const faintTexts = `(() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(contrast.toFixed(1) + " " + e.textContent);
  }
  return faint;
})()`

// press types a key.
func (b *browser) press(key string, code int) {
	b.t.Helper()
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text})
	}
}

// checkNames looks at the page as a screen reader does.
func checkNames(b *browser) {
	b.t.Helper()
	type value struct{ Value string }
	var tree struct {
		Nodes []struct {
			Role, Name value
			Ignored    bool
		}
	}
	b.must(b.session, "Accessibility.getFullAXTree", nil, &tree)
	found := make(map[string]int)
	for _, n := range tree.Nodes {
		if n.Ignored {
			continue
		}
		found[n.Role.Value]++
		switch n.Role.Value {
		case "table", "region", "image", "navigation", "heading", "link", "columnheader", "rowheader", "RootWebArea":
			if strings.TrimSpace(n.Name.Value) == "" || n.Name.Value == "-" {
				b.t.Errorf("a %s has the name %q", n.Role.Value, n.Name.Value)
			}
		}
	}
	for _, role := range []string{"table", "region", "image", "navigation", "heading", "columnheader", "rowheader", "main", "banner", "status"} {
		if found[role] == 0 {
			b.t.Errorf("there is no %s; there are %v", role, found)
		}
	}
	if found["status"] != 2 { // how current the page is, and the summary
		b.t.Errorf("%d texts are read out as they change", found["status"])
	}
}
