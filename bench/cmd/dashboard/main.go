// Command dashboard draws the panels of packaging/grafana/vxlan.json as an SVG image, from what a
// Prometheus has measured. So they can be looked at where there is no Grafana, as in Debian.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// board is as much of a dashboard as is drawn.
type board struct{ Panels []panel }

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct {
					Color string
					Value *float64
				}
			}
			Custom struct{ Stacking struct{ Mode string } }
		}
		Overrides []struct {
			Matcher struct{ Options string } // the reference of a target that is drawn below the line
		}
	}
	Targets []struct{ RefID, Expr, LegendFormat string }
}

func main() {
	path := flag.String("dashboard", "packaging/grafana/vxlan.json", "dashboard `file`")
	server := flag.String("url", "http://127.0.0.1:9090", "Prometheus' `URL`")
	end := flag.Int64("end", time.Now().Unix(), "the end of the picture, in Unix `seconds`")
	length := flag.Duration("length", 3*time.Minute, "the `time` that it shows")
	flag.Parse()
	if err := run(*path, prometheus{*server, time.Unix(*end, 0), *length}); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

func run(path string, p prometheus) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	d := new(drawing)
	for _, panel := range b.Panels {
		all, err := p.seriesOf(panel)
		if err != nil {
			return fmt.Errorf("panel %q: %w", panel.Title, err)
		}
		d.panel(panel, all)
	}
	_, err = fmt.Print(d.svg())
	return err
}

// seriesOf returns what a panel shows.
func (p prometheus) seriesOf(panel panel) (all []series, err error) {
	for _, target := range panel.Targets {
		found, err := p.query(target.Expr, panel.Type == "timeseries")
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
