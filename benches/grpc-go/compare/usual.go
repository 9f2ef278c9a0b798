package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"
	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	issuer   = "https://id.example"
	audience = "orders"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// usual is what a server of grpc-go usually has: spans that are not exported, metrics with a histogram, a line of JSON for
// each call, which is discarded, recovery from panics, and a token that is verified.
func usual() []grpc.ServerOption {
	metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	lines := slog.New(slog.NewJSONHandler(io.Discard, nil))
	logger := logging.LoggerFunc(func(ctx context.Context, level logging.Level, text string, fields ...any) {
		lines.Log(ctx, slog.Level(level), text, fields...)
	})
	finished := logging.WithLogOnEvents(logging.FinishCall)
	spans := otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(trace.NewTracerProvider()),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
	)
	return []grpc.ServerOption{
		grpc.StatsHandler(spans),
		grpc.ChainUnaryInterceptor(
			metrics.UnaryServerInterceptor(),
			logging.UnaryServerInterceptor(logger, finished),
			recovery.UnaryServerInterceptor(),
			auth.UnaryServerInterceptor(verify),
		),
		grpc.ChainStreamInterceptor(
			metrics.StreamServerInterceptor(),
			logging.StreamServerInterceptor(logger, finished),
			recovery.StreamServerInterceptor(),
			auth.StreamServerInterceptor(verify),
		),
	}
}

type claims struct{}

var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{"HS256"}),
	jwt.WithIssuer(issuer),
	jwt.WithAudience(audience),
	jwt.WithExpirationRequired(),
)

// verify checks the token of each call, and adds its claims to the context.
func verify(ctx context.Context) (context.Context, error) {
	text, err := auth.AuthFromMD(ctx, "bearer")
	if err != nil {
		return nil, err
	}
	token, err := parser.Parse(text, func(*jwt.Token) (any, error) { return secret, nil })
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, fmt.Sprint(err))
	}
	return context.WithValue(ctx, claims{}, token.Claims), nil
}

// token is one that verify accepts.
func token() string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "ann", "scope": "orders.read orders.write",
		"exp": time.Now().Add(24 * time.Hour).Unix(),
	})
	signed, err := token.SignedString(secret)
	if err != nil {
		log.Fatal(err)
	}
	return signed
}
