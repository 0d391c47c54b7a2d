package main

import (
	"cmp"
	"encoding/json"
	"fmt"
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

// query asks for the values of an expression at the end, or over the whole time.
func (p prometheus) query(expr string, whole bool) ([]series, error) {
	expr = strings.NewReplacer("$__rate_interval", "10s", "$instance", ".*", "$network", ".*").Replace(expr)
	begin, step := p.end.Add(-p.length), p.length/240
	args := url.Values{"query": {expr}, "end": {unix(p.end)}, "start": {unix(begin)}, "step": {fmt.Sprint(step.Seconds())}}
	if !whole {
		args.Set("start", unix(p.end))
	}
	response, err := http.Get(p.server + "/api/v1/query_range?" + args.Encode())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		return nil, fmt.Errorf("%s: %w %s", expr, err, answer.Error)
	}
	var all []series
	for _, r := range answer.Data.Result {
		s := series{labels: r.Metric}
		for _, value := range r.Values {
			at, _ := value[0].(float64)
			text, _ := value[1].(string)
			if v, err := strconv.ParseFloat(text, 64); err == nil && v == v { // not NaN
				s.values = append(s.values, sample{(at - float64(begin.Unix())) / p.length.Seconds(), v})
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b series) int { return cmp.Compare(fmt.Sprint(a.labels), fmt.Sprint(b.labels)) })
	return all, nil
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
