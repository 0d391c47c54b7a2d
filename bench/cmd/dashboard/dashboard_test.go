package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const boardPath = "../../../packaging/grafana/vxlan.json"

// fakePrometheus answers a query by its expression.
func fakePrometheus(t *testing.T, results func(expr string, instant bool) string) prometheus {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/api/v1/query_range" || q.Get("end") != "1180" || q.Get("step") != "0.75" {
			t.Errorf("asked %s", r.URL)
		}
		fmt.Fprint(w, results(q.Get("query"), q.Get("start") == q.Get("end")))
	}))
	t.Cleanup(server.Close)
	return prometheus{server.URL, time.Unix(1180, 0), 3 * time.Minute}
}

// result is one series of an answer: its labels, and values at each 0.75 s.
func result(labels map[string]string, values ...any) string {
	type sample [2]any
	r := struct {
		Metric map[string]string `json:"metric"`
		Values []sample          `json:"values"`
	}{Metric: labels}
	for i, v := range values {
		if v != nil {
			r.Values = append(r.Values, sample{1000 + 0.75*float64(i), fmt.Sprint(v)})
		}
	}
	text, _ := json.Marshal(r) // maps and texts can be encoded
	return string(text)
}

func success(results ...string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(results, ",") + `]}}`
}

var coordinates = regexp.MustCompile(`-?[\d.]+`)

// Each panel of the dashboard is drawn from its own queries: within the picture, well-formed, and
// small.
func TestDashboardIsDrawn(t *testing.T) {
	b, err := readBoard(boardPath)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(map[string]bool)
	p := fakePrometheus(t, func(expr string, instant bool) string {
		asked[expr] = instant
		if strings.Contains(expr, "$") {
			t.Errorf("a variable is left: %s", expr)
		}
		var values []any
		for i := range samples {
			values = append(values, 1e5*(1+math.Sin(float64(i)/9)))
		}
		if instant {
			values = []any{3}
		}
		return success(result(map[string]string{"network": "<blue>", "instance": "host-a", "peer": "host-b", "reason": "not_a_member", "version": "v1"}, values...))
	})
	svg, err := p.draw(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, panel := range b.Panels {
		for _, target := range panel.Targets {
			if instant, found := asked[variables.Replace(target.Expr)]; !found || instant != (panel.Type != "timeseries") {
				t.Errorf("panel %q: asked %v, at one time %v", panel.Title, found, instant)
			}
		}
	}
	texts := wantInside(t, svg)
	for _, panel := range b.Panels {
		if !strings.Contains(texts, panel.Title+"\n") {
			t.Errorf("there is no panel %q", panel.Title)
		}
	}
	for _, want := range []string{"<blue> in\n", "<blue> out\n", "host-a to host-b\n", "not_a_member\n", "v1: 3 hosts\n", "200 kb/s\n", "0:00\n", "3:00\n"} {
		if !strings.Contains(texts, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if len(svg) > 150_000 {
		t.Errorf("the picture has %d bytes", len(svg))
	}
}

// wantInside wants well-formed XML without anything that is loaded or run, and all lines inside of
// the picture. It returns the texts, a line each.
func wantInside(t *testing.T, svg string) (texts string) {
	t.Helper()
	var width, height float64
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts += string(token) + "\n"
		case xml.StartElement:
			if !strings.Contains(" svg title rect text path polyline ", " "+token.Name.Local+" ") {
				t.Errorf("element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if a.Name.Local == "viewBox" {
					_, _ = fmt.Sscanf(a.Value, "0 0 %f %f", &width, &height)
				}
				if a.Name.Local != "points" {
					continue
				}
				for i, text := range coordinates.FindAllString(a.Value, -1) {
					if n, err := strconv.ParseFloat(text, 64); err != nil || n < 0 || n > []float64{width, height}[i%2] {
						t.Errorf("a point is at %s, %v", text, err)
					}
				}
			}
		}
	}
}

func TestQueryFails(t *testing.T) {
	b := board{Panels: []panel{{Title: "P", Type: "timeseries", Targets: []struct{ RefID, Expr, LegendFormat string }{{Expr: "bad("}}}}}
	for answer, want := range map[string]string{
		`{"status":"error","errorType":"bad_data","error":"unclosed left parenthesis"}`: `panel "P": bad(: unclosed left parenthesis`,
		"<html>": `panel "P": bad(: 200 OK: invalid character`,
	} {
		p := fakePrometheus(t, func(string, bool) string { return answer })
		if _, err := p.draw(t.Context(), b); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// What is not a number is left out, and a line breaks where values are missing.
func TestLinesBreakWhereValuesAreMissing(t *testing.T) {
	p := fakePrometheus(t, func(string, bool) string {
		return success(result(nil, 1, 1, 1, 2, "NaN", nil, nil, nil, nil, 4, 4))
	})
	all, err := p.query(t.Context(), "x", true)
	if err != nil || len(all) != 1 || len(all[0].values) != 6 {
		t.Fatalf("got %+v, %v", all, err)
	}
	lines := all[0].lines(box{0, 0, 240, 40}, 0, 4)
	// The second point is between two of the same height.
	if got, want := strings.Join(lines, "; "), "0.0,30.0 2.0,30.0 3.0,20.0; 9.0,0.0 10.0,0.0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		values    []float64
		low, high float64
	}{
		{nil, 0, 1}, {[]float64{0}, 0, 1}, {[]float64{2, 5}, 0, 8}, {[]float64{2, 8}, 0, 8}, {[]float64{3.2e-5}, 0, 4e-5},
		{[]float64{-3, 5}, -5, 5}, {[]float64{-7, 5}, -10, 10}, {[]float64{471e3, -1}, -500e3, 500e3},
	} {
		var s series
		for _, v := range tt.values {
			s.values = append(s.values, sample{0, v})
		}
		if low, high := limits([]series{s}); math.Abs(low-tt.low)+math.Abs(high-tt.high) > 1e-12 {
			t.Errorf("%v: %v to %v", tt.values, low, high)
		}
	}
}

func TestStack(t *testing.T) {
	all := []series{{values: []sample{{0, 1}, {0.5, 2}}}, {values: []sample{{0.5, 3}}}}
	stack(all)
	if got := fmt.Sprint(all[0].values, all[1].values); got != "[{0 1} {0.5 2}] [{0.5 5}]" {
		t.Errorf("got %s", got)
	}
}

// What is stacked is filled down to the axis.
func TestClosed(t *testing.T) {
	if got, want := closed("1.0,5.0 2.5,6.0", 9), "1.0,9 1.0,5.0 2.5,6.0 2.5,9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A number without a value is what the dashboard says, and its colour that of the threshold.
func TestStat(t *testing.T) {
	one := 1.0
	var p panel
	p.FieldConfig.Defaults.NoValue = "0"
	p.FieldConfig.Defaults.Thresholds.Steps = []struct {
		Color string
		Value *float64
	}{{"green", nil}, {"red", &one}}
	for _, tt := range []struct {
		all         []series
		text, color string
	}{
		{nil, ">0</text>", "#2f7527"}, {[]series{{values: []sample{{1, 0}}}}, ">0</text>", "#2f7527"}, {[]series{{values: []sample{{1, 2}}}}, ">2</text>", "#b3152a"},
	} {
		var d drawing
		d.stat(p, tt.all, box{0, 0, 100, 50})
		if got := d.String(); !strings.Contains(got, tt.text) || !strings.Contains(got, tt.color) {
			t.Errorf("%v: got\n%s", tt.all, got)
		}
	}
}

// Names that do not fit into two rows are counted.
func TestLegendIsBounded(t *testing.T) {
	var all []series
	for i := range 20 {
		all = append(all, series{name: fmt.Sprint("host-a to host-with-a-name-", i)})
	}
	d := new(drawing)
	if rows := d.legend(all, box{0, 0, 500, 0}); rows != 2 || strings.Count(d.String(), "<path") != 4 || !strings.Contains(d.String(), ">and 16 more<") {
		t.Errorf("%d rows:\n%s", rows, d.String())
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		value      float64
		unit, want string
	}{
		{0.25, "percentunit", "25 %"}, {0, "s", "0"}, {25e-6, "s", "25 µs"}, {0.0123, "s", "12.3 ms"}, {90, "s", "90 s"},
		{1500, "bps", "1.5 kb/s"}, {125e3, "bps", "125 kb/s"}, {2.5e6, "bps", "2.5 Mb/s"}, {3, "short", "3"}, {0.125, "pps", "0.125 /s"},
	} {
		if got := format(tt.value, tt.unit); got != tt.want {
			t.Errorf("%v %s: %q", tt.value, tt.unit, got)
		}
	}
}
