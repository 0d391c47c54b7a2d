package gobench

import (
	"fmt"
	"strconv"
	"strings"
)

// Result is one benchmark's line.
type Result struct {
	Name   string             // without "Benchmark" and the number of processors
	Values map[string]float64 // by unit, such as ns/op
}

// Parse returns the results in a text and skips all other lines. The same name comes as often as it
// was run (-count).
func Parse(text string) ([]Result, error) {
	var results []Result
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		// "BenchmarkName/x=1-2 100 12.3 ns/op 4 B/op"; a name alone is a benchmark that printed
		// something.
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		r := Result{Name: trimName(fields[0]), Values: map[string]float64{}}
		for i := 2; i < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("parse benchmark line %q: %w", strings.TrimSpace(line), err)
			}
			r.Values[fields[i+1]] = v
		}
		results = append(results, r)
	}
	return results, nil
}

// trimName takes off the number of processors, which follows the last hyphen and is left out when
// it is one.
func trimName(name string) string {
	name = strings.TrimPrefix(name, "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}
