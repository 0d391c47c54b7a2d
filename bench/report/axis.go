package report

import (
	"math"
	"slices"
)

// axis maps values to pixels.
type axis struct {
	min, max float64 // values at its ends
	from, to float64 // pixels at its ends
	log      bool
	values   []float64 // ticks of a logarithmic axis
}

func (p Plot) bothAxes() (x, y axis) {
	x, y = axis{from: marginLeft, to: marginRight, log: p.LogX}, axis{from: marginBottom, to: marginTop}
	for _, s := range p.Series {
		for _, pt := range s.Points {
			x.max, y.max = max(x.max, pt.X), max(y.max, pt.High)
			if !slices.Contains(x.values, pt.X) {
				x.values = append(x.values, pt.X)
			}
		}
	}
	if x.log && len(x.values) > 0 {
		x.min = slices.Min(x.values)
	}
	// A little air, and never an axis without length.
	y.max = max(y.max*1.08, math.SmallestNonzeroFloat32)
	if x.max <= x.min {
		x.max = x.min + 1
	}
	return x, y
}

func (a axis) position(v float64) float64 {
	low, high := a.min, a.max
	if a.log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// tickValues are round numbers; on a logarithmic axis they are what was measured at.
func (a axis) tickValues() (ticks []float64) {
	if a.log {
		return a.values
	}
	step := niceStep(a.max - a.min)
	for i := 0; a.min+float64(i)*step <= a.max; i++ {
		ticks = append(ticks, a.min+float64(i)*step)
	}
	return ticks
}

// niceStep divides a span into three to seven parts by a step of 1, 2 or 5 times a power of ten.
func niceStep(span float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(span/3)))
	for _, m := range []float64{5, 2} {
		if m*power <= span/3 {
			return m * power
		}
	}
	return power
}
