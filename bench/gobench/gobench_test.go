package gobench

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	const output = `goos: linux
cpu: AMD EPYC
BenchmarkFDB/entries=1000-2         	     100	   1720000 ns/op	    581000 entries/s
BenchmarkPlain 	 5 	 1.5e+06 ns/op
BenchmarkTalks
    x_test.go:1: hello
BenchmarkFDB/entries=1000-2         	     100	   1730000 ns/op	    578000 entries/s
PASS
ok  	vxlan-driver/x	1.2s
`
	want := []Result{
		{"FDB/entries=1000", map[string]float64{"ns/op": 1720000, "entries/s": 581000}},
		{"Plain", map[string]float64{"ns/op": 1.5e6}},
		{"FDB/entries=1000", map[string]float64{"ns/op": 1730000, "entries/s": 578000}},
	}
	got, err := Parse(output)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Parse("BenchmarkX 1 many ns/op\n"); err == nil {
		t.Error("a word was taken for a number")
	}
}
