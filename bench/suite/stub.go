package suite

import "context"

func (s *Suite) scale(ctx context.Context) (Result, error)  { return Result{}, nil }
func (s *Suite) plugin(ctx context.Context) (Result, error) { return Result{}, nil }
