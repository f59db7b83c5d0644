package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// pemFiles writes a CA, and a certificate of it with its key, as PEM.
func pemFiles(t *testing.T, ca *hatest.Authority) (caFile, cert, key string) {
	t.Helper()
	pair, err := ca.Certificate("desk")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("ca.pem", ca.PEM()),
		write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestAClientCertificateIsShownWhereTheAPIWantsOne(t *testing.T) {
	t.Parallel()
	ca, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(api.GroupList{Schema: 1})
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	caFile, cert, key := pemFiles(t, ca)

	if got := runs(t, nil, "status", "--api", s.URL, "--tls-ca", caFile, "--tls-cert", cert, "--tls-key", key); got.code != 0 {
		t.Errorf("by flags: %+v", got)
	}
	env := []string{"UNDERSTUDY_TLS_CA=" + caFile, "UNDERSTUDY_TLS_CERT=" + cert, "UNDERSTUDY_TLS_KEY=" + key}
	if got := runs(t, env, "status", "--api", s.URL); got.code != 0 {
		t.Errorf("by the environment: %+v", got)
	}
	for _, c := range []struct {
		code int
		why  string
		line []string
	}{
		{exitUnreachable, "certificate required", []string{"--api", s.URL, "--tls-ca", caFile}},
		{exitUnreachable, "unknown authority", []string{"--api", s.URL, "--tls-cert", cert, "--tls-key", key}},
		{exitUsage, "needs its key", []string{"--api", s.URL, "--tls-cert", cert}},
		{exitUsage, "read the CA", []string{"--api", s.URL, "--tls-ca", caFile + ".not"}},
		{exitUsage, "no certificate in PEM", []string{"--api", s.URL, "--tls-ca", key}},
		{exitUsage, "is no https URL", []string{"--api", "http://127.0.0.1:1", "--tls-ca", caFile}},
	} {
		if got := runs(t, nil, append([]string{"status"}, c.line...)...); got.code != c.code || !strings.Contains(got.err, c.why) {
			t.Errorf("%q: got %+v, want %d and %q", c.line, got, c.code, c.why)
		}
	}
}
