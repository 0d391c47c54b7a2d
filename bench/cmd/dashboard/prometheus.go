package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prometheus is the source, and the time that is shown.
type prometheus struct {
	server string
	end    time.Time
	length time.Duration
}

// series is a line of a panel.
type series struct {
	labels map[string]string
	name   string
	values []sample
}

// sample is a value at a part of the time that is shown, from 0 to 1.
type sample struct{ at, v float64 }

// samples is how many a line has.
const samples = 240

// variables are what Grafana fills in: all hosts and networks, and a time of several samples.
var variables = strings.NewReplacer("$__rate_interval", "10s", "$instance", ".*", "$network", ".*")

// seriesOf returns what a panel shows.
func (p prometheus) seriesOf(ctx context.Context, panel panel) (all []series, err error) {
	for _, target := range panel.Targets {
		found, err := p.query(ctx, variables.Replace(target.Expr), panel.Type == "timeseries")
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			s.name = s.label(target.LegendFormat)
			if isBelow(panel, target.RefID) {
				for i := range s.values {
					s.values[i].v = -s.values[i].v
				}
			}
			all = append(all, s)
		}
	}
	return all, nil
}

func isBelow(p panel, ref string) bool {
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.Options == ref {
			return true
		}
	}
	return false
}

// label fills in a legend, as "{{instance}} to {{peer}}".
func (s series) label(format string) string {
	for name, value := range s.labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", value)
	}
	return format
}

// answer is Prometheus' to a query over a time.
type answer struct {
	Error string
	Data  struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any // a time, and a number as text
		}
	}
}

// query asks for the values of an expression at the end, or over the whole time.
func (p prometheus) query(ctx context.Context, expr string, whole bool) ([]series, error) {
	begin := p.end.Add(-p.length)
	args := url.Values{"query": {expr}, "end": {unix(p.end)}, "start": {unix(begin)},
		"step": {fmt.Sprint(p.length.Seconds() / samples)}}
	if !whole {
		args.Set("start", unix(p.end))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server+"/api/v1/query_range?"+args.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var a answer
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", expr, response.Status, err)
	}
	if a.Error != "" {
		return nil, fmt.Errorf("%s: %w", expr, errors.New(a.Error))
	}
	var all []series
	for _, r := range a.Data.Result {
		s := series{labels: r.Metric}
		for _, value := range r.Values {
			at, _ := value[0].(float64)
			text, _ := value[1].(string)
			if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
				s.values = append(s.values, sample{(at - float64(begin.Unix())) / p.length.Seconds(), v})
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b series) int { return cmp.Compare(fmt.Sprint(a.labels), fmt.Sprint(b.labels)) })
	return all, nil
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
