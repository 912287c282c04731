"""The policy computing engine (PCE): what the Lambda functions and the local host both run."""
