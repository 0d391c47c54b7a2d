package stats

import (
	"math"
	"slices"
	"testing"
)

func upTo(n int) (values []float64) {
	for i := n; i >= 1; i-- {
		values = append(values, float64(i))
	}
	return values
}

func TestSummarize(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   Summary
	}{
		"one value":                                  {[]float64{7}, Summary{7, 7, 7, 1}},
		"even number: mean of the middle":            {[]float64{4, 1, 3, 2}, Summary{2.5, 1, 4, 4}},
		"few values: the extremes":                   {upTo(5), Summary{3, 1, 5, 5}},
		"ranks from the binomial distribution, n=20": {upTo(20), Summary{10.5, 6, 15, 20}},
		"an outlier moves nothing":                   {append(upTo(20), 1e9), Summary{11, 7, 15, 21}},
	} {
		if got := Summarize(c.values); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	if none := Summarize(nil); !math.IsNaN(none.Median) || none.N != 0 {
		t.Errorf("no values: %+v", none)
	}
}

// The interval must hold the true median about as often as it says.
func TestSummarizeCoversTheMedian(t *testing.T) {
	const runs, n = 4000, 15
	seed := uint64(1)
	uniform := func() float64 { // xorshift: the same numbers at each run
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		return float64(seed>>11) / (1 << 53)
	}
	covered := 0
	for range runs {
		var values []float64
		for range n {
			values = append(values, uniform())
		}
		if s := Summarize(values); s.Low <= 0.5 && 0.5 <= s.High {
			covered++
		}
	}
	if share := float64(covered) / runs; share < 0.93 {
		t.Errorf("the interval holds the median in %.1f %% of runs", 100*share)
	}
}

func TestPercentile(t *testing.T) {
	values := upTo(200)
	for p, want := range map[float64]float64{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := Percentile(values, p); got != want {
			t.Errorf("p%v = %v, want %v", p, got, want)
		}
	}
	if !slices.Equal(values, upTo(200)) {
		t.Error("the caller's values were sorted")
	}
	if !math.IsNaN(Percentile(nil, 50)) {
		t.Error("no values have a percentile")
	}
}

func TestRatiosArePairByPair(t *testing.T) {
	// The machine slows down threefold: medians of each side alone would say 3, or 1/3.
	got := Ratios([]float64{1, 3, 3, 9}, []float64{2, 6, 6})
	if !slices.Equal(got, []float64{0.5, 0.5, 0.5}) {
		t.Errorf("got %v", got)
	}
}

func TestJudge(t *testing.T) {
	atMost, atLeast := Bound{Limit: 1}, Bound{Limit: 1, AtLeast: true}
	for name, c := range map[string]struct {
		bound     Bound
		low, high float64
		want      Verdict
	}{
		"all below a maximum":   {atMost, 0.8, 0.9, Met},
		"at the maximum":        {atMost, 0.8, 1, Met},
		"all above a maximum":   {atMost, 1.1, 1.2, Missed},
		"across a maximum":      {atMost, 0.9, 1.1, Unclear},
		"all above a minimum":   {atLeast, 1.1, 1.2, Met},
		"all below a minimum":   {atLeast, 0.8, 0.9, Missed},
		"across a minimum":      {atLeast, 0.9, 1.1, Unclear},
		"nothing was measured":  {atMost, math.NaN(), math.NaN(), Unclear},
		"nothing, at a minimum": {atLeast, math.NaN(), math.NaN(), Unclear},
	} {
		if got := c.bound.Judge(Summary{Low: c.low, High: c.high}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
