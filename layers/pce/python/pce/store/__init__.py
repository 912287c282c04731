"""DynamoDB, S3, SQS and the WebSocket management API: the only package that knows them."""
