// Command dashboard draws the panels of packaging/grafana/vxlan.json as an SVG image, from what a
// Prometheus has measured. So they can be looked at where there is no Grafana, as in Debian.
//
// With -lab it starts three lab hosts and a Prometheus first, lets things happen to them for three
// minutes, and draws that.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// board is as much of a dashboard as is drawn.
type board struct {
	Panels []panel
	path   string
}

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct {
			Unit       string
			NoValue    string
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
	inLab := flag.Bool("lab", false, "draw a run of lab hosts, which takes four minutes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b, err := readBoard(*path)
	svg := ""
	switch {
	case err != nil:
	case *inLab:
		svg, err = tell(ctx, b)
	default:
		svg, err = prometheus{*server, time.Unix(*end, 0), *length}.draw(ctx, b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
	fmt.Print(svg)
}

func readBoard(path string) (b board, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return board{}, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return board{}, fmt.Errorf("read %s: %w", path, err)
	}
	b.path = path
	return b, nil
}

// draw draws all panels.
func (p prometheus) draw(ctx context.Context, b board) (svg string, err error) {
	d := &drawing{length: p.length}
	for _, panel := range b.Panels {
		all, err := p.seriesOf(ctx, panel)
		if err != nil {
			return "", fmt.Errorf("panel %q: %w", panel.Title, err)
		}
		d.panel(panel, all)
	}
	return d.svg(), nil
}
