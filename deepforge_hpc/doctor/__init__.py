"""What has to be so before a pipeline can run on a site, each check with the next step."""
