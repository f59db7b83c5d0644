package main

import (
	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/openapi"
)

func newOpenAPI(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the description of both APIs, of groups and of a node, as OpenAPI 3.1", Args: nothing,
		RunE: func(*cobra.Command, []string) error {
			text, err := openapi.Document()
			if err == nil {
				_, err = s.out.Write(text)
			}
			return err
		},
	}
}
