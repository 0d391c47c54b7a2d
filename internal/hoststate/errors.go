package hoststate

import "errors"

// NetworkError is about one network, by its id.
type NetworkError struct {
	NetworkID string
	Err       error
}

// Error returns what is wrong as text.
func (e NetworkError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e NetworkError) Unwrap() error { return e.Err }

// wrapNetworkError marks an error as one network's.
func wrapNetworkError(networkID string, err error) error {
	if err == nil {
		return nil
	}
	return NetworkError{networkID, err}
}

// FilterByNetwork returns what of an error is not about other networks only. Whoever waits for one
// network must not be stopped by another's trouble.
func FilterByNetwork(networkID string, err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var left []error
		for _, e := range joined.Unwrap() {
			left = append(left, FilterByNetwork(networkID, e))
		}
		return errors.Join(left...)
	}
	if e, ok := errors.AsType[NetworkError](err); ok && e.NetworkID != networkID {
		return nil
	}
	return err
}
