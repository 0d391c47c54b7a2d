package stats

import (
	"math"
	"slices"
)

// Summary is a median and the interval that holds the true one with 95 % confidence.
type Summary struct {
	Median    float64
	Low, High float64
	N         int
}

// Summarize needs no assumption on how the values are distributed: the interval's ends are values
// themselves, picked by rank from the binomial distribution. With fewer than six values even the
// extremes don't reach 95 %; they are taken all the same. No values give a Summary of NaN.
func Summarize(values []float64) Summary {
	n := len(values)
	if n == 0 {
		return Summary{Median: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	// Rank of the interval's low end, from 0; the high end is its mirror image.
	rank := int(math.Floor(float64(n)/2 - z95*math.Sqrt(float64(n))/2))
	rank = max(rank, 0)
	return Summary{Median: medianOf(sorted), Low: sorted[rank], High: sorted[n-1-rank], N: n}
}

// z95 is how many standard deviations about the mean hold 95 % of a normal distribution.
const z95 = 1.96

func medianOf(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Spread is the width of the interval as a part of the median.
func (s Summary) Spread() float64 { return (s.High - s.Low) / s.Median }

// Percentile is the value below which p of 100 values lie, the nearest rank.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p/100*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// Ratios divides pair by pair: what slows the machine down for a while slows down both of a pair.
// What one of them has more of is left out.
func Ratios(ours, theirs []float64) []float64 {
	n := min(len(ours), len(theirs))
	ratios := make([]float64, 0, n)
	for i := range n {
		ratios = append(ratios, ours[i]/theirs[i])
	}
	return ratios
}

// Verdict is what can be told about a ratio and a bound for it.
type Verdict string

// The verdicts.
const (
	Met     Verdict = "met"
	Missed  Verdict = "missed"
	Unclear Verdict = "noise too large to tell"
)

// Bound is what a ratio should keep to.
type Bound struct {
	Limit   float64
	AtLeast bool // more is better, as with throughput
}

// Judge says whether the ratio keeps to the bound. Where the limit lies within the interval,
// nothing can be told.
func (b Bound) Judge(ratio Summary) Verdict {
	better, worse := ratio.High <= b.Limit, ratio.Low > b.Limit
	if b.AtLeast {
		better, worse = ratio.Low >= b.Limit, ratio.High < b.Limit
	}
	switch {
	case better:
		return Met
	case worse:
		return Missed
	}
	return Unclear
}
