package echo

import (
	"errors"
	"time"
)

// Largest finds the size of the largest IP packet that comes back, from least to most bytes. It asks
// twice before a size counts as lost. It returns 0 if not even the smallest one comes back.
func (c *Conn) Largest(least, most int, timeout time.Duration) (int, error) {
	passes := func(size int) (bool, error) {
		for range 2 {
			_, err := c.Echo(size, timeout)
			if err == nil {
				return true, nil
			}
			if errors.Is(err, ErrTooLarge) {
				return false, nil
			}
			if !errors.Is(err, ErrNoAnswer) {
				return false, err
			}
		}
		return false, nil
	}
	if ok, err := passes(most); ok || err != nil {
		return most, err
	}
	if ok, err := passes(least); !ok || err != nil {
		return 0, err
	}
	for most-least > 1 {
		middle := (least + most) / 2
		ok, err := passes(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			least = middle
		} else {
			most = middle
		}
	}
	return least, nil
}
