"""The deployment to AWS: what `cdk deploy` makes. `functions.py` is the page to review first."""
